// What the members of a host take of it: memory that is theirs alone or their share of what is shared, and processor time.

import { on } from './machines.js';

export const parts = ['postgres', 'patroni', 'pgbouncer', 'haproxy', 'etcd'] as const;
export type Part = (typeof parts)[number];

/** By part, summed over all tenants of the host. */
export type Usage = Record<Part, { processes: number; pssKiB: number; cpuS: number }>;

/** Processor time of children that ended is in that of whoever waited for them. */
const script = `
import json, os
ticks = os.sysconf('SC_CLK_TCK')
found = {part: {'processes': 0, 'pssKiB': 0, 'cpuS': 0.0} for part in ${JSON.stringify(parts)}}
for pid in filter(str.isdigit, os.listdir('/proc')):
    try:
        group = open(f'/proc/{pid}/cgroup').read()
        name, fields = open(f'/proc/{pid}/stat').read().split('(', 1)[1].rsplit(')', 1)
        pss = [line.split()[1] for line in open(f'/proc/{pid}/smaps_rollup') if line.startswith('Pss:')]
    except OSError:
        continue
    unit = next((u for u in ('patroni', 'pgbouncer', 'haproxy', 'etcd') if f'pgs-{u}' in group), None)
    if unit is None:
        continue
    part = found['postgres' if unit == 'patroni' and name.startswith('postgres') else unit]
    part['processes'] += 1
    part['pssKiB'] += int(pss[0]) if pss else 0
    part['cpuS'] += sum(map(int, fields.split()[11:15])) / ticks
print(json.dumps(found))
`;

export async function usageOf(host: string): Promise<Usage> {
  const ran = await on(host, 'python3 -', script);
  if (ran.code !== 0) throw new Error(`what runs on ${host} could not be measured: ${ran.stderr}`);
  return JSON.parse(ran.stdout) as Usage;
}

/** Of all hosts together; `later` less `before` in processor time, and memory as it is in `later`. */
export function usedBetween(before: Usage[], later: Usage[]): Usage {
  const total = (usages: Usage[], part: Part, what: 'processes' | 'pssKiB' | 'cpuS') =>
    usages.reduce((sum, usage) => sum + usage[part][what], 0);
  return Object.fromEntries(
    parts.map((part) => [
      part,
      {
        processes: total(later, part, 'processes'),
        pssKiB: total(later, part, 'pssKiB'),
        cpuS: total(later, part, 'cpuS') - total(before, part, 'cpuS'),
      },
    ]),
  ) as Usage;
}
