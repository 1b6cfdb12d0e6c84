// What a member of etcd has on its disk, and how it is put aside: as values. What was written is never removed.

import type { Command, CommandResult } from '../host/command.js';
import { etcdUnit } from './desired.js';

const home = '/var/lib/pgs-etcd';

/** Whether there is data of a member, and whether its process runs. */
export function askMemberData(): Command {
  const script = `test -d ${home}/data/member && echo data || echo none; systemctl is-active ${etcdUnit} || true`;
  return { argv: ['sh', '-c', script], timeoutMs: 10_000 };
}

export interface MemberData {
  data: boolean;
  active: boolean;
}

export function parseMemberData({ stdout }: CommandResult): MemberData {
  const [data, active] = stdout.trim().split('\n');
  return { data: data === 'data', active: active === 'active' };
}

/**
 * Stops the member and moves its data aside.
 * @param stamp for the name, such as `20261121T174500`: letters and digits
 */
export function putDataAside(stamp: string): Command {
  const aside = `${home}/data.before-${stamp}`;
  const script = `systemctl stop ${etcdUnit}; [ ! -e ${home}/data ] || mv -T ${home}/data ${aside}`;
  return { argv: ['sh', '-c', script], timeoutMs: 60_000 };
}
