// Limits on a host: what is written there, and whether the kernel holds the tenant to them, in both versions of control groups.

import { describe, expect, test } from 'vitest';
import { absentLimits, desiredLimits, judgeLimits, parseLimits } from '../../../src/host/limits.js';
import { checkResources } from '../../../src/host/resource-rules.js';

const limits = { cpuWeight: 50, cpuQuota: '150%', memory: '2GB', tasks: 512, openFiles: 32_768 };
const file = '/etc/systemd/system/pgs-web\\x2dshop.slice.d/50-pgs-limits.conf';

describe('on a host there is', () => {
  test('a drop-in of the tenant’s own slice', () => {
    const resources = desiredLimits({ tenant: 'web-shop', limits });
    checkResources(resources);
    expect(resources).toEqual([
      {
        kind: 'directory',
        path: '/etc/systemd/system/pgs-web\\x2dshop.slice.d',
        mode: '0755',
        owner: 'root',
        group: 'root',
      },
      {
        kind: 'file',
        path: file,
        mode: '0644',
        owner: 'root',
        group: 'root',
        content:
          '# Written by pgs. What tenant web-shop may use of this host.\n[Slice]\nCPUWeight=50\nCPUQuota=150%\n' +
          'MemoryHigh=1843M\nMemoryMax=2048M\nTasksMax=512\n',
      },
    ]);
  });

  test('none without limits, and what somebody else put beside it stays until the tenant goes', () => {
    expect(desiredLimits({ tenant: 'web-shop' })).toEqual([
      { kind: 'absent', what: 'path', name: file, destructive: false },
    ]);
    expect(absentLimits('web-shop')).toMatchObject([{ name: file.replace(/\/[^/]*$/, '') }]);
  });
});

const v2 = `group /pgs.slice/pgs-acme.slice
cpu.weight 50
cpu.max 150000 100000
memory.max 2147483648
memory.high 1932525568
pids.max 512
nofile 32768
`;
const v1 = `group /pgs.slice/pgs-acme.slice
cpu.shares 512
cpu.cfs_quota_us 150000
cpu.cfs_period_us 100000
memory.limit_in_bytes 2147483648
pids.max 512
nofile 32768
`;

describe('the kernel holds the tenant to its limits', () => {
  test.each([
    ['version 2', v2],
    ['version 1', v1],
    [
      'version 2 beside controllers of version 1',
      v1.replace(/^memory.*\n/m, 'memory.max 2147483648\nmemory.high 1932525568\n'),
    ],
  ])('with %s', (_, output) => {
    expect(judgeLimits(limits, parseLimits(output))).toEqual([]);
  });

  test('when nothing is limited, whatever it says', () => {
    expect(judgeLimits({}, parseLimits(''))).toEqual([]);
  });
});

describe('a limit that is not in force is named with what was found', () => {
  test.each([
    [
      'version 2: no quota',
      v2.replace('150000 100000', 'max 100000'),
      /^cpuQuota 150% is not in force: cpu.max of \/pgs.slice\/pgs-acme.slice says max 100000$/,
    ],
    ['version 2: another quota', v2.replace('150000', '50000'), /^cpuQuota 150% .* says 50%$/],
    ['version 2: another weight', v2.replace('weight 50', 'weight 100'), /^cpuWeight 50 .*cpu.weight .* says 100$/],
    [
      'version 2: no memory',
      v2.replace(/memory.max \d+/, 'memory.max max'),
      /^memory 2147483648 .*memory.max .* says max$/,
    ],
    ['version 2: no warning before', v2.replace(/memory.high \d+/, 'memory.high max'), /memory.high .* says max$/],
    ['version 1: no quota', v1.replace('quota_us 150000', 'quota_us -1'), /^cpuQuota 150% .* says -1 100000$/],
    ['version 1: other shares', v1.replace('shares 512', 'shares 1024'), /^cpuWeight 512 .*cpu.shares .* says 1024$/],
    [
      'version 1: no memory',
      v1.replace(/bytes \d+/, 'bytes 9223372036854771712'),
      /memory.limit_in_bytes .* says 9223372036854771712$/,
    ],
    ['tasks', v2.replace('pids.max 512', 'pids.max max'), /^tasks 512 .*pids.max .* says max$/],
    ['open files', v2.replace('nofile 32768', 'nofile 65536'), /^openFiles 32768 .*nofile .* says 65536$/],
  ])('%s', (_, output, message) => {
    const found = judgeLimits(limits, parseLimits(output));
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(message);
  });

  test('all of them where no controller was delegated, as in a container', () => {
    const found = judgeLimits(limits, parseLimits('group /pgs.slice/pgs-acme.slice\nnofile 32768\n'));
    expect(found.map((line) => line.split(' ')[0])).toEqual(['cpuWeight', 'cpuQuota', 'memory', 'memory', 'tasks']);
    for (const line of found)
      expect(line).toMatch(/the kernel has no \S+ for \/pgs.slice\/pgs-acme.slice .*not delegated/);
  });

  test('in one word where nothing of the tenant runs', () => {
    expect(judgeLimits(limits, parseLimits('group \n'))).toEqual([
      'the tenant’s slice has no control group: nothing of the tenant runs there',
    ]);
  });
});
