// The private bridge of a sandbox, and the cables of its machines.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { PgsError } from '../errors.js';
import { runLocal, runLocalChecked } from './local.js';
import { chooseSubnet, gatewayAddress } from './names.js';
import { findSandbox, type Sandbox } from './state.js';
import { sandboxRoot } from './paths.js';

const ipTimeoutMs = 10_000;

/**
 * A subnet that no route, address or other sandbox of this box uses.
 * @throws PgsError `unfit` when every /24 of 10.213.0.0/16 is taken.
 */
export async function findFreeSubnet(name: string): Promise<string> {
  const subnet = chooseSubnet(name, [...(await usedNetworks()), ...recordedSubnets()]);
  if (subnet) return subnet;
  throw new PgsError('unfit', {
    doing: `choosing a network for sandbox ${name}`,
    found: 'every /24 of 10.213.0.0/16 overlaps a route or address of this machine',
    hint: 'See `ip route show table all` and free one.',
  });
}

/** What a bridge of the recorded name is: ours by its recorded MAC address, somebody else's, or not there. */
export function bridgeOwner(sandbox: Sandbox): 'ours' | 'foreign' | 'absent' {
  const link = join('/sys/class/net', sandbox.state.bridge);
  if (!existsSync(link)) return 'absent';
  const mac = readFileSync(join(link, 'address'), 'utf8').trim();
  return existsSync(join(link, 'bridge')) && mac === sandbox.state.bridgeMac ? 'ours' : 'foreign';
}

/** @throws PgsError `held` if something of the bridge's name is there that this sandbox did not make. */
export function refuseForeignBridge(sandbox: Sandbox): void {
  if (bridgeOwner(sandbox) !== 'foreign') return;
  throw new PgsError('held', {
    doing: `looking at the network of sandbox ${sandbox.name}`,
    found: `the interface ${sandbox.state.bridge} was not made by this sandbox`,
    hint: 'Choose another name with PGS_SANDBOX, or remove the interface if you know that nobody needs it.',
  });
}

export async function ensureBridge(sandbox: Sandbox): Promise<void> {
  refuseForeignBridge(sandbox);
  const { bridge, bridgeMac, subnet } = sandbox.state;
  const doing = `making the bridge ${bridge}`;
  const ip = (...args: string[]) => runLocalChecked(doing, ['ip', ...args], { timeoutMs: ipTimeoutMs });
  if (bridgeOwner(sandbox) === 'absent') await ip('link', 'add', bridge, 'address', bridgeMac, 'type', 'bridge');
  await ip('address', 'replace', `${gatewayAddress(subnet)}/24`, 'dev', bridge);
  await ip('link', 'set', bridge, 'up');
}

/** Removes the bridge if it is ours. */
export async function removeBridge(sandbox: Sandbox): Promise<void> {
  if (bridgeOwner(sandbox) !== 'ours') return;
  const argv = ['ip', 'link', 'delete', sandbox.state.bridge];
  await runLocalChecked(`removing the bridge ${sandbox.state.bridge}`, argv, { timeoutMs: ipTimeoutMs });
}

/** Names of the interfaces that are plugged into the bridge. */
function bridgePorts(bridge: string): string[] {
  const directory = join('/sys/class/net', bridge, 'brif');
  return existsSync(directory) ? readdirSync(directory) : [];
}

/**
 * This box's end of the cable of the machine whose init is `leaderPid`, plugged into the sandbox's bridge; null when the
 * machine has none yet. nspawn shortens long names, so it is asked from the machine's own end.
 */
export async function findCable(sandbox: Sandbox, leaderPid: number): Promise<string | null> {
  const argv = ['nsenter', '-t', String(leaderPid), '-n', 'ip', '-j', 'link', 'show', 'host0'];
  const { code, stdout } = await runLocal(argv, { timeoutMs: ipTimeoutMs });
  if (code !== 0) return null;
  const [link] = z.array(z.object({ link_index: z.int() })).parse(JSON.parse(stdout));
  const veth = readdirSync('/sys/class/net').find((name) => interfaceIndex(name) === link?.link_index);
  if (veth === undefined) return null;
  if (!bridgePorts(sandbox.state.bridge).includes(veth)) {
    // nspawn is about to plug it in, or the bridge was lost and has been made again; to do it twice does no harm.
    const argv = ['ip', 'link', 'set', veth, 'up', 'master', sandbox.state.bridge];
    await runLocalChecked(`plugging in ${veth}`, argv, { timeoutMs: ipTimeoutMs });
  }
  return veth;
}

function interfaceIndex(name: string): number | null {
  const path = join('/sys/class/net', name, 'ifindex');
  return existsSync(path) ? Number(readFileSync(path, 'utf8')) : null;
}

/** Makes a virtual machine's cable and plugs it in. */
export async function plugTap(sandbox: Sandbox, tap: string): Promise<void> {
  const doing = `plugging in ${tap}`;
  const ip = (...args: string[]) => runLocalChecked(doing, ['ip', ...args], { timeoutMs: ipTimeoutMs });
  if (!existsSync(join('/sys/class/net', tap))) await ip('tuntap', 'add', 'dev', tap, 'mode', 'tap');
  await ip('link', 'set', tap, 'up', 'master', sandbox.state.bridge);
}

/** Pulls the cable: from now on nothing that the machine sends leaves it. */
export async function cutCable(sandbox: Sandbox, veth: string): Promise<void> {
  if (!bridgePorts(sandbox.state.bridge).includes(veth)) return;
  const argv = ['ip', 'link', 'set', veth, 'down'];
  await runLocalChecked(`cutting the cable ${veth}`, argv, { timeoutMs: ipTimeoutMs });
}

/** The kernel removes a dead machine's cable some time after its processes; a new machine needs the name at once. */
export async function removeCable(sandbox: Sandbox, veth: string): Promise<void> {
  if (!bridgePorts(sandbox.state.bridge).includes(veth)) return;
  await runLocal(['ip', 'link', 'delete', veth], { timeoutMs: ipTimeoutMs });
}

async function usedNetworks(): Promise<string[]> {
  const doing = 'reading the routes of this machine';
  const routes = await runLocalChecked(doing, ['ip', '-4', '-j', 'route', 'show', 'table', 'all'], {
    timeoutMs: ipTimeoutMs,
  });
  const addresses = await runLocalChecked(doing, ['ip', '-4', '-j', 'address'], { timeoutMs: ipTimeoutMs });
  return [...parseRoutes(routes), ...parseAddresses(addresses)];
}

/** Destinations of `ip -j route`; the default route overlaps everything and says nothing. */
export function parseRoutes(json: string): string[] {
  const routes = z.array(z.object({ dst: z.string() })).parse(JSON.parse(json || '[]'));
  return routes.map((route) => route.dst).filter((dst) => dst !== 'default' && dst !== '0.0.0.0/0');
}

/** Networks of `ip -j address`. */
export function parseAddresses(json: string): string[] {
  const entry = z.object({ local: z.string(), prefixlen: z.int() });
  const links = z.array(z.object({ addr_info: z.array(entry).optional() })).parse(JSON.parse(json || '[]'));
  return links.flatMap((link) => (link.addr_info ?? []).map(({ local, prefixlen }) => `${local}/${prefixlen}`));
}

function recordedSubnets(): string[] {
  const root = sandboxRoot();
  if (!existsSync(root)) return [];
  return readdirSync(root).flatMap((name) => {
    try {
      return findSandbox(name)?.state.subnet ?? [];
    } catch {
      return []; // damaged; what it made is still seen as an address
    }
  });
}
