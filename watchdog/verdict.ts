// Whether a member is fenced, judged from what was found on its host. Pure: the same facts, the same verdict.

import type { PatroniTiming } from '../src/topology/presets.js';
import type { DeviceFact, FencingFacts, HolderFact } from './facts.js';
import { guaranteeOf, watchdogTiming, type Guarantee, type Mechanism, type WatchdogMode } from './policy.js';

export interface FencingVerdict {
  verdict: 'fenced' | 'not fenced' | 'unknown';
  reason: string;
}

export interface MemberFencing extends FencingVerdict {
  mode: WatchdogMode;
  mechanism: Mechanism;
  /** Armed at this moment: a leader has to be, a replica is not. */
  armed: boolean | null;
  /** Of the kernel's watchdog that covers the member, directly or through systemd. */
  device: string | null;
  identity: string | null;
  kind: DeviceFact['kind'] | null;
  /** Time-out that Patroni has set, seconds. */
  timeoutS: number | null;
  /** Time left before it fires, seconds. */
  leftS: number | null;
  /** Processes that hold the device, and for a shared host the pipe. */
  holders: HolderFact[];
  guarantee: Guarantee;
  /** What would mend it, as a command where there is one. */
  fix: string | null;
}

export interface FencingInput {
  mode: WatchdogMode;
  mechanism: Mechanism;
  host: string;
  /** The tenant's OS user. */
  user: string;
  timing: PatroniTiming;
  /** Null: the host could not be looked at. */
  facts: FencingFacts | null;
  role: 'leader' | 'replica' | 'other' | 'unknown';
}

type Found = Pick<MemberFencing, 'verdict' | 'reason' | 'fix'>;

const fenced = (reason: string): Found => ({ verdict: 'fenced', reason, fix: null });
const open = (reason: string, fix: string | null = null): Found => ({ verdict: 'not fenced', reason, fix });
const unknown = (reason: string): Found => ({ verdict: 'unknown', reason, fix: null });

export function judgeFencing(input: FencingInput): MemberFencing {
  const { mode, mechanism, facts, timing } = input;
  const kernel = facts ? coveringDevice(input, facts) : null;
  const pipe = facts?.tenant ?? null;
  const device = mechanism === 'device' ? kernel : null;
  const armed = !facts ? null : mechanism === 'pipe' ? (pipe?.armed ?? false) : (device?.active ?? false);
  const timeoutS = armed ? (mechanism === 'pipe' ? pipe!.timeoutS : device!.timeoutS) : null;
  const guarantee = guaranteeOf(armed ? mechanism : null, timeoutS, timing);
  const found =
    mode === 'off'
      ? open('the spec says watchdog: off')
      : !facts
        ? unknown('the host could not be looked at')
        : mechanism === 'pipe'
          ? judgePipe(input, facts, kernel, guarantee)
          : judgeDevice(input, facts, kernel, guarantee);
  return {
    ...found,
    mode,
    mechanism,
    armed,
    device: kernel?.node ?? null,
    identity: kernel?.identity ?? null,
    kind: kernel?.kind ?? null,
    timeoutS,
    leftS: armed ? (mechanism === 'pipe' ? pipe!.leftS : device!.leftS) : null,
    holders: [...(kernel?.holders ?? []), ...(mechanism === 'pipe' ? (pipe?.holders ?? []) : [])],
    // A replica that is ready to arm has the guarantee that it would lead with.
    guarantee:
      found.verdict === 'fenced' && !armed
        ? guaranteeOf(mechanism, watchdogTiming(timing).timeoutS, timing)
        : guarantee,
  };
}

/** A hardware watchdog before softdog, and one that is held before one that is not. */
function coveringDevice({ mechanism }: FencingInput, facts: FencingFacts): DeviceFact | null {
  const rank = (d: DeviceFact) =>
    (d.holders.some((h) => (mechanism === 'pipe') === (h.pid === 1)) ? 0 : 2) + (d.kind === 'hardware' ? 0 : 1);
  return [...facts.devices].sort((a, b) => rank(a) - rank(b))[0] ?? null;
}

function judgePipe(
  { role, host, user, mode }: FencingInput,
  facts: FencingFacts,
  kernel: DeviceFact | null,
  guarantee: Guarantee,
): Found {
  const { service, tenant } = facts;
  const prepare = `pgs host prepare ${host}`;
  if (service !== 'active') {
    const effect = mode === 'required' ? ', so the member cannot lead' : '';
    return open(`the fencing service is ${service ?? 'not there'}${effect}`, 'pgs apply');
  }
  if (!tenant || tenant.pipe === 'absent') return open('the fencing service has no pipe for the tenant', 'pgs apply');
  if (tenant.pipe === 'other') return open('something else than the pipe is in its place');
  const stranger = tenant.holders.find((h) => h.user !== user);
  if (stranger) return open(`the pipe is held by ${describeHolder(stranger)}, which is not the tenant's Patroni`);
  if (tenant.armed && tenant.holders.length === 0 && role === 'leader') {
    return open(`nobody holds the pipe: it fires in ${tenant.leftS?.toFixed(1)} s`);
  }
  if (role === 'leader' && !tenant.armed) return open('the member leads and has not armed its watchdog', 'pgs apply');
  if (guarantee.windowS) return open(guarantee.text, 'pgs apply');
  const partly = tenant.armed ? 'a Patroni that hangs is killed in time, but ' : '';
  if (!kernel) return open(`${partly}${noKernelWatchdog(facts)}`, facts.container ? null : prepare);
  const systemd = kernel.holders.find((h) => h.pid === 1);
  const other = kernel.holders.find((h) => h.pid !== 1);
  if (!systemd && other) {
    return open(
      `${partly}${kernel.node} is held by ${describeHolder(other)} instead of systemd`,
      `stop that, then ${prepare}`,
    );
  }
  if (!systemd)
    return open(`${partly}systemd does not hold ${kernel.node}, so a machine that stalls is not reset`, prepare);
  return role === 'unknown' && !tenant.armed
    ? unknown('Patroni did not answer, and its watchdog is not armed')
    : fenced(tenant.armed ? guarantee.text : 'a replica; it arms its watchdog before it leads');
}

function noKernelWatchdog({ container, softdog }: FencingFacts): string {
  if (container) return 'this is a container without a kernel watchdog: a stall of the whole machine is not fenced';
  if (softdog.blacklistedBy.length > 0)
    return `there is no kernel watchdog, and softdog is blacklisted in ${softdog.blacklistedBy.join(', ')}`;
  return softdog.available
    ? 'softdog is not loaded'
    : 'this machine has no watchdog, and its kernel has no softdog module';
}

function judgeDevice(
  { role, host, user, mode }: FencingInput,
  facts: FencingFacts,
  device: DeviceFact | null,
  guarantee: Guarantee,
): Found {
  const prepare = `pgs host prepare ${host}`;
  if (!device) return open(noKernelWatchdog(facts), facts.container ? null : prepare);
  const stranger = device.holders.find((h) => h.user !== user);
  if (stranger) return open(`${device.node} is held by ${describeHolder(stranger)}, which is not the tenant's Patroni`);
  if (device.owner !== user) {
    const effect = mode === 'required' ? ', so the member cannot lead' : '';
    return open(`${device.node} belongs to ${device.owner}, and Patroni cannot open it${effect}`, 'pgs apply');
  }
  const held = device.holders.length > 0;
  if (role === 'leader' && !held) return open(`the member leads and does not hold ${device.node}`, 'pgs apply');
  if (held && !device.active) return open(`${device.node} is open but not running in the kernel`);
  if (held && guarantee.windowS) return open(guarantee.text, 'pgs apply');
  if (held) return fenced(guarantee.text);
  if (role === 'unknown') return unknown(`Patroni did not answer, and nobody holds ${device.node}`);
  return fenced('a replica; it arms its watchdog before it leads');
}

export function describeHolder({ pid, command, unit }: HolderFact): string {
  return `${command} (process ${pid}${unit ? ` of ${unit}` : ''})`;
}
