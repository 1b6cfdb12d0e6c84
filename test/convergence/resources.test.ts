// Whatever was there, and wherever pgs was killed on the way: planning and applying again makes a host what it should be, and
// then there is nothing left to do. The states are random; a failing one is printed with its seed.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { applyResources, performUnit } from '../../src/host/apply-resources.js';
import { unitConditionHolds } from '../../src/host/compare-units.js';
import type { ReachableHost } from '../../src/host/facts.js';
import { gatherHostFacts, wantedFor } from '../../src/host/gather.js';
import { planResources } from '../../src/host/plan-resources.js';
import type { Resource, UnitResource } from '../../src/host/resource.js';
import type { Step } from '../../src/reconcile/step.js';
import { Secret } from '../../src/secrets/secret.js';
import { Killed, SimulatedHost } from './simulated-host.js';

const user = 'pgs-t';
const root = '/etc/pgs/t';
const unitNames = ['pgs-a.service', 'pgs-b@t.service'];

interface UnitWish {
  state: 'running' | 'stopped' | 'masked';
  onChange: 'reload' | 'restart';
  version: number;
  enabled: boolean;
}

interface Wish {
  files: Record<string, { content: string; mode: string; secret: boolean } | null>;
  units: (UnitWish | null)[];
  distribution: 'masked' | 'stopped';
}

const fileWish = fc.option(
  fc.record({
    content: fc.constantFrom('one\n', 'two\nlines\n', `it's "odd"\n@end\n`, ''),
    mode: fc.constantFrom('0600', '0640'),
    secret: fc.boolean(),
  }),
);

const unitWish: fc.Arbitrary<UnitWish | null> = fc.option(
  fc.record({
    state: fc.constantFrom('running' as const, 'running' as const, 'stopped' as const),
    onChange: fc.constantFrom('reload' as const, 'restart' as const),
    version: fc.nat(2),
    enabled: fc.boolean(),
  }),
);

const wish: fc.Arbitrary<Wish> = fc.record({
  files: fc.record({ 'a.cfg': fileWish, 'b.cfg': fileWish, 'd/c.cfg': fileWish }),
  units: fc.tuple(unitWish, unitWish),
  distribution: fc.constantFrom('masked' as const, 'stopped' as const),
});

const gone: Wish = {
  files: { 'a.cfg': null, 'b.cfg': null, 'd/c.cfg': null },
  units: [null, null],
  distribution: 'stopped',
};

/** Everything that a wish does not name is wanted gone; with nothing wished, so are the user and the directory. */
function desired(wished: Wish): Resource[] {
  const nothing = wished === gone;
  const own = { owner: user, group: user };
  const absent = (what: 'path' | 'user' | 'unit', name: string): Resource => ({
    kind: 'absent',
    what,
    name,
    destructive: what === 'user',
  });
  const units = wished.units.map((unit, i): Resource => {
    const name = unitNames[i]!;
    return unit ? { kind: 'unit', name, loads: [`${root}/d`, `${root}/a.cfg`], ...unit } : absent('unit', name);
  });
  const unitFiles = wished.units.flatMap((unit, i): Resource[] => {
    if (!unit) return [];
    const stamp = `/usr/local/lib/pgs/stamp ${unitNames[i]} ${root}/d ${root}/a.cfg`;
    const content = `[Service]\nUser=${user}\nExecStartPre=+${stamp}\nExecReload=+${stamp}\n# version ${unit.version}\n`;
    const path = `/etc/systemd/system/${unitNames[i]!.replace('@t', i === 1 ? '@' : '')}`;
    return [{ kind: 'file', path, owner: 'root', group: 'root', mode: '0644', content }];
  });
  if (nothing)
    return [...units, absent('path', '/etc/systemd/system/pgs-b@.service'), absent('path', root), absent('user', user)];
  const files = Object.entries(wished.files).map(([name, file]): Resource => {
    if (!file) return absent('path', `${root}/${name}`);
    const content = file.secret ? new Secret(file.content) : file.content;
    return { kind: 'file', path: `${root}/${name}`, ...own, mode: file.mode, content };
  });
  return [
    ...units,
    ...unitFiles,
    ...files,
    { kind: 'directory', path: `${root}/d`, mode: '0700', ...own },
    { kind: 'directory', path: root, mode: '0700', ...own },
    { kind: 'user', name: user, home: '/var/lib/pgs/t' },
    { kind: 'unit', name: 'etcd.service', state: wished.distribution, enabled: false, loads: [], onChange: 'never' },
  ];
}

async function look(host: SimulatedHost, resources: Resource[]): Promise<ReachableHost> {
  const facts = await gatherHostFacts(host, wantedFor(resources));
  if (!facts.reachable) throw new Error(facts.why);
  return facts;
}

async function planFor(host: SimulatedHost, resources: Resource[]): Promise<Step[]> {
  return planResources({ host: host.name, subject: 't', resources, facts: await look(host, resources) });
}

async function converge(host: SimulatedHost, resources: Resource[]): Promise<void> {
  for (const { action, done, timeoutMs } of await planFor(host, resources)) {
    if (action.kind === 'resources') await applyResources(host, action.resources, timeoutMs);
    if (action.kind === 'unit') await performUnit(host, action.unit, action.verb, timeoutMs);
    if (done.kind === 'unit') {
      const { units } = await look(host, resources);
      expect(unitConditionHolds(done, units[done.unit]!), JSON.stringify({ done, found: units[done.unit] })).toBe(true);
    }
  }
}

function newHost(): SimulatedHost {
  const host = new SimulatedHost('h1');
  host.packaged.add('etcd.service');
  host.units.set('etcd.service', {
    active: 'active',
    enabled: true,
    masked: false,
    startedAtS: 1,
    loaded: {},
    read: {},
    runs: {},
  });
  return host;
}

/** What must be equal after the same wishes, however they came about. */
function stateOf(host: SimulatedHost, resources: Resource[]): unknown {
  const running = resources.filter((r): r is UnitResource => r.kind === 'unit' && r.state === 'running');
  return {
    users: [...host.users].sort(),
    paths: [...host.paths].filter(([, { kind }]) => kind === 'file').sort(),
    units: [...host.units].map(([name, { active, enabled, masked }]) => ({ name, active, enabled, masked })),
    loaded: running.map(({ name }) => [name, Object.entries(host.units.get(name)!.loaded).sort()]),
  };
}

const wishes = fc
  .array(wish, { minLength: 1, maxLength: 3 })
  .chain((list) => fc.boolean().map((remove) => (remove ? [...list, gone] : list)));

describe('resources of a host', () => {
  it('are as wanted after one apply, and then nothing is left to do', async () => {
    await fc.assert(
      fc.asyncProperty(wishes, async (list) => {
        const host = newHost();
        for (const wished of list) {
          const resources = desired(wished);
          await converge(host, resources);
          expect(await planFor(host, resources)).toEqual([]);
          const changes = host.log.length;
          await converge(host, resources);
          expect(host.log).toHaveLength(changes);
        }
      }),
      { numRuns: 150 },
    );
  });

  it('come to the same end when pgs is killed before any one change', { timeout: 60_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(wishes, async (list) => {
        const before = list.slice(0, -1);
        const last = desired(list.at(-1)!);
        const uninterrupted = newHost();
        for (const wished of before) await converge(uninterrupted, desired(wished));
        const start = uninterrupted.log.length;
        await converge(uninterrupted, last);
        for (let changes = 0; changes < uninterrupted.log.length - start; changes++) {
          const host = newHost();
          for (const wished of before) await converge(host, desired(wished));
          host.killAfter(changes);
          await expect(converge(host, last)).rejects.toThrow(Killed);
          host.killAfter(Infinity);
          await converge(host, last);
          expect(await planFor(host, last)).toEqual([]);
          expect(stateOf(host, last)).toEqual(stateOf(uninterrupted, last));
        }
      }),
      { numRuns: 40 },
    );
  });

  it('come to the same end when the host lost power in between', async () => {
    await fc.assert(
      fc.asyncProperty(wish, fc.nat(12), async (wished, changes) => {
        const host = newHost();
        const resources = desired(wished);
        host.killAfter(changes);
        await converge(host, resources).catch((thrown: unknown) => {
          if (!(thrown instanceof Killed)) throw thrown;
        });
        host.killAfter(Infinity);
        host.powerOff();
        expect(await gatherHostFacts(host, wantedFor(resources))).toMatchObject({ reachable: false });
        host.powerOn();
        await converge(host, resources);
        expect(await planFor(host, resources)).toEqual([]);
      }),
      { numRuns: 100 },
    );
  });
});
