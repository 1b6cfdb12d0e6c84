// The rules by which a host's resources become steps, one by one. That steps converge is tested with simulated hosts.

import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { PgsError } from '../../../src/errors.js';
import { unitCondition, unitConditionHolds } from '../../../src/host/compare-units.js';
import type { HostFacts, PathFact, ReachableHost, UnitFact } from '../../../src/host/facts.js';
import { wantedFor } from '../../../src/host/gather.js';
import { planResources } from '../../../src/host/plan-resources.js';
import type { AbsentResource, FileResource, Resource, UnitResource } from '../../../src/host/resource.js';
import { contentHash } from '../../../src/host/resource-rules.js';
import { Secret } from '../../../src/secrets/secret.js';

const root = { owner: 'root', group: 'root', mode: '0644' };
const config: FileResource = { kind: 'file', path: '/etc/pgs/x/a.cfg', ...root, content: 'one\ntwo\nthree\n' };
const unitFile: FileResource = {
  kind: 'file',
  path: '/etc/systemd/system/pgs-x@.service',
  ...root,
  content: '[Service]\n',
};
const unit: UnitResource = {
  kind: 'unit',
  name: 'pgs-x@t.service',
  state: 'running',
  enabled: true,
  loads: ['/etc/pgs/x'],
  onChange: 'reload',
};
const all = [config, unitFile, unit];

const there = (file: FileResource, more: Partial<Extract<PathFact, { kind: 'file' }>> = {}): PathFact => ({
  kind: 'file',
  owner: file.owner,
  group: file.group,
  mode: file.mode,
  sha256: contentHash(file.content),
  ...(typeof file.content === 'string' ? { content: file.content } : {}),
  ...more,
});
const loadedAll = Object.fromEntries([config, unitFile].map((file) => [file.path, contentHash(file.content)]));
const running: UnitFact = {
  load: 'loaded',
  active: 'active',
  enabled: true,
  needsDaemonReload: false,
  startedAtS: 1_700_000_000,
  loaded: loadedAll,
};

interface Found {
  paths?: Record<string, PathFact>;
  unit?: Partial<UnitFact>;
}

/** A host on which everything is as wanted, except what is given. */
function host({ paths = {}, unit: changed = {} }: Found = {}): ReachableHost {
  return {
    reachable: true,
    users: { 'pgs-t': { present: true, home: '/var/lib/pgs/t' } },
    paths: {
      [config.path]: there(config),
      [unitFile.path]: there(unitFile),
      '/etc/pgs/x': { kind: 'directory', owner: 'root', group: 'root', mode: '0755', empty: false },
      '/etc/systemd/system/pgs-x@t.service': { kind: 'absent' },
      ...paths,
    },
    units: { [unit.name]: { ...running, ...changed } },
    listening: [],
    memoryMiB: 1024,
    cores: 1,
  };
}

const plan = (resources: Resource[], facts: HostFacts, needs: string[] = []) =>
  planResources({ host: 'h1', subject: 'x', resources, facts, needs });
const verbs = (resources: Resource[], facts: HostFacts) =>
  plan(resources, facts).flatMap(({ action }) => (action.kind === 'unit' ? [action.verb] : []));
const titles = (resources: Resource[], facts: HostFacts) => plan(resources, facts).map(({ title }) => title);
const absent = (what: AbsentResource['what'], name: string, destructive = false): AbsentResource => ({
  kind: 'absent',
  what,
  name,
  destructive,
});

function errorOf(act: () => unknown): PgsError {
  try {
    act();
  } catch (thrown) {
    if (thrown instanceof PgsError) return thrown;
    throw thrown;
  }
  throw new Error('nothing was thrown');
}

describe('a device', () => {
  const device: Resource = { kind: 'device', path: '/dev/watchdog', owner: 'pgs-t', group: 'root', mode: '0600' };
  const found = (fact: PathFact) => plan([device], host({ paths: { [device.path]: fact } }));
  const node = { kind: 'other', owner: 'pgs-t', group: 'root', mode: '0600' } as const;

  it("that is the user's, or is not there, gives no step", () => {
    expect(found(node)).toEqual([]);
    expect(found({ kind: 'absent' })).toEqual([]);
  });

  it("that is somebody else's is given to the user", () => {
    const [step] = found({ ...node, owner: 'root' });
    expect(step).toMatchObject({
      destructive: false,
      diff: [{ what: '/dev/watchdog', before: 'root:root 0600', after: 'pgs-t:root 0600' }],
      action: { kind: 'resources', resources: [device] },
    });
  });

  it('in whose place is a file is refused', () => {
    const file = { kind: 'file', owner: 'root', group: 'root', mode: '0600', sha256: '' } as const;
    expect(errorOf(() => found(file)).code).toBe('unfit');
  });
});

describe('a unit that should run', () => {
  it('gives no step when it runs with all that it should have loaded', () => {
    expect(plan(all, host())).toEqual([]);
  });

  it.each(['inactive', 'failed', 'deactivating'])('is started when it is %s', (active) => {
    expect(verbs(all, host({ unit: { active, loaded: {} } }))).toEqual(['start']);
  });

  it('is waited for, not restarted, while it starts with the wanted content', () => {
    expect(verbs(all, host({ unit: { active: 'activating' } }))).toEqual(['start']);
  });

  it('is restarted while it starts with older content', () => {
    const found = host({ unit: { active: 'activating', loaded: { ...loadedAll, [unitFile.path]: 'older' } } });
    expect(verbs(all, found)).toEqual(['restart']);
  });

  it.each(['reload', 'restart'] as const)('takes a changed file by %s, as it says', (onChange) => {
    const found = host({ paths: { [config.path]: there(config, { sha256: 'older', content: 'old' }) } });
    const loadedOld = { ...found.units[unit.name]!, loaded: { ...loadedAll, [config.path]: 'older' } };
    const steps = plan([config, unitFile, { ...unit, onChange }], { ...found, units: { [unit.name]: loadedOld } });
    expect(steps.map(({ title }) => title)).toEqual(['write the files of x', `${onChange} pgs-x@t.service`]);
    expect(steps[1]!.needs).toEqual(['h1/x/files']);
  });

  it('takes a file that an earlier run wrote and did not get to load', () => {
    expect(titles(all, host({ unit: { loaded: { ...loadedAll, [config.path]: 'older' } } }))).toEqual([
      'reload pgs-x@t.service',
    ]);
  });

  it('is restarted, not reloaded, when its unit file changed', () => {
    const newer = { ...unitFile, content: '[Service]\nNice=1\n' };
    expect(verbs([config, newer, unit], host())).toEqual(['restart']);
  });

  it('is restarted when an earlier run changed its unit file and did not get to restart it', () => {
    expect(verbs(all, host({ unit: { loaded: { ...loadedAll, [unitFile.path]: 'older' } } }))).toEqual(['restart']);
  });

  it('is reloaded, never restarted on a guess, when its stamp was lost, and is at peace afterwards', () => {
    expect(verbs(all, host({ unit: { loaded: {} } }))).toEqual(['reload']);
    const reloaded = { [config.path]: contentHash(config.content) };
    expect(verbs(all, host({ unit: { loaded: reloaded } }))).toEqual([]);
  });

  it('is left to another step when it says never', () => {
    const found = host({ unit: { loaded: {} } });
    expect(plan([config, unitFile, { ...unit, onChange: 'never' }], found)).toEqual([]);
  });

  it('is reloaded when it still has loaded a file that is gone', () => {
    const gone = '/etc/pgs/x/gone.cfg';
    const found = host({ paths: { [gone]: { kind: 'absent' } }, unit: { loaded: { ...loadedAll, [gone]: 'old' } } });
    const [step] = plan([...all, absent('path', gone)], found);
    expect(step).toMatchObject({ title: 'reload pgs-x@t.service', done: { loaded: { [gone]: '' } } });
  });

  it('does not mind files of others in a directory that it loads', () => {
    const others = { ...loadedAll, '/etc/pgs/x/neighbour.cfg': 'hash' };
    expect(plan(all, host({ unit: { loaded: others } }))).toEqual([]);
  });

  it('compares a file that pgs does not write with what is on disk', () => {
    const path = '/etc/ssl/their.pem';
    const loads = [...unit.loads, path];
    const found = host({
      paths: { [path]: there(config, { sha256: 'new' }) },
      unit: { loaded: { ...loadedAll, [path]: 'old' } },
    });
    expect(verbs([config, unitFile, { ...unit, loads }], found)).toEqual(['reload']);
  });

  it('makes systemd read a unit file that it has not read, with the files', () => {
    const [step] = plan(all, host({ unit: { needsDaemonReload: true } }));
    expect(step).toMatchObject({ id: 'h1/x/files', action: { kind: 'resources', resources: [unit] } });
  });
});

describe('a unit that should not run', () => {
  it('is stopped and masked', () => {
    const masked: UnitResource = { ...unit, state: 'masked', enabled: false };
    expect(titles([masked], host())).toEqual(['write the files of x', 'stop pgs-x@t.service']);
    expect(plan([masked], host({ unit: { load: 'masked', active: 'inactive', enabled: false } }))).toEqual([]);
  });

  it('gives no step when it does not exist', () => {
    const stopped: UnitResource = { ...unit, state: 'stopped', enabled: false };
    expect(plan([stopped], host({ unit: { load: 'not-found', active: 'inactive', enabled: false } }))).toEqual([]);
  });

  it('is stopped before its file, its directory and its user go, in this order', () => {
    const resources = [
      absent('user', 'pgs-t', true),
      absent('path', '/etc/pgs/x', true),
      absent('path', config.path),
      absent('unit', unit.name),
    ];
    const steps = plan(resources, host(), ['before']);
    expect(steps.map(({ id, needs }) => [id, needs])).toEqual([
      ['h1/x/pgs-x@t.service', ['before']],
      ['h1/x/files', ['before', 'h1/x/pgs-x@t.service']],
    ]);
    expect(steps[1]!.destructive).toBe(true);
    expect(steps[1]!.action).toMatchObject({
      resources: [{ name: unit.name }, { name: config.path }, { name: '/etc/pgs/x' }, { name: 'pgs-t' }],
    });
  });

  it('is not destructive when nothing of it is left', () => {
    const found = host({ paths: { '/data': { kind: 'absent' } } });
    expect(plan([absent('path', '/data', true)], found)).toEqual([]);
  });
});

describe('the differences that are shown', () => {
  const diffOf = (resources: Resource[], found: ReachableHost) => plan(resources, found)[0]!.diff;

  it('are the changed lines of a plain file', () => {
    const found = host({ paths: { [config.path]: there(config, { sha256: 'older', content: 'one\n2\nthree\n' }) } });
    expect(diffOf([config], found)).toEqual([{ what: config.path, before: '2', after: 'two' }]);
  });

  it('are short, however long the file', () => {
    const lines = Array.from({ length: 500 }, (_, i) => `line ${i}`).join('\n');
    const [diff] = diffOf([{ ...config, content: lines }], host());
    expect(diff!.after.split('\n')).toHaveLength(13);
    expect(diff!.after).toContain('(488 more lines)');
  });

  it('never show a secret, changed or new, in the plan or its steps', () => {
    const secret = { ...config, content: new Secret('s3cret-text') };
    const before = there(config, { sha256: contentHash('old-s3cret') });
    delete (before as { content?: string }).content;
    for (const fact of [before, { kind: 'absent' } as const]) {
      const steps = plan([secret, unit], host({ paths: { [config.path]: fact } }));
      expect(steps.length).toBeGreaterThan(0);
      const shown = JSON.stringify(steps) + inspect(steps, { depth: 9 });
      expect(shown).not.toContain('s3cret');
      expect(shown).toContain('secret');
    }
  });

  it('name owner and mode', () => {
    const found = host({ paths: { [config.path]: there(config, { mode: '0600', owner: 'nobody' }) } });
    expect(diffOf([config], found)).toEqual([
      { what: `${config.path} (owner and mode)`, before: 'nobody:root 0600', after: 'root:root 0644' },
    ]);
  });
});

describe('what is unknown', () => {
  const down: HostFacts = { reachable: false, why: 'no answer from 10.0.0.1 port 22 within 10 s' };

  it('gives a step that does nothing but say so', () => {
    const steps = plan(all, down);
    expect(steps).toHaveLength(1);
    expect(steps[0]).toMatchObject({
      action: { kind: 'none' },
      reason: expect.stringContaining('no answer') as string,
    });
  });

  it('is never taken for absent: something destructive is refused', () => {
    const error = errorOf(() => plan([absent('path', '/var/lib/pgs/t', true)], down));
    expect(error.code).toBe('endangers');
    expect(error.details.host).toBe('h1');
  });

  it('is an error of ours when it was not asked for', () => {
    const found = host();
    delete found.paths[config.path];
    expect(errorOf(() => plan([config], found)).code).toBe('bug');
  });

  it('has something else in the way: refused before anything is changed', () => {
    const other: PathFact = { kind: 'other', owner: 'root', group: 'root', mode: '0777' };
    const error = errorOf(() => plan([config], host({ paths: { [config.path]: other } })));
    expect(error.code).toBe('unfit');
    expect(error.details.hint).toContain(`ls -ld ${config.path}`);
  });
});

describe('resources that cannot be', () => {
  it.each<[string, Resource[]]>([
    ['a path that is not absolute', [{ ...config, path: 'etc/x' }]],
    ['a path with a blank', [{ ...config, path: '/etc/a b' }]],
    ['a path with a line break', [{ ...config, path: '/etc/a\nremove /etc' }]],
    ['a path that climbs', [{ ...config, path: '/etc/pgs/../passwd' }]],
    ['an owner that is a number', [{ ...config, owner: '0' }]],
    ['a mode of three digits', [{ ...config, mode: '644' }]],
    ['a unit without a suffix', [{ ...unit, name: 'pgs-x' }]],
    ['a unit with a blank', [{ ...unit, name: 'pgs x.service' }]],
    ['a file in a directory that should be gone', [config, absent('path', '/etc/pgs')]],
    ['a unit that is wanted and not', [unit, absent('unit', unit.name)]],
  ])('are refused: %s', (_what, resources) => {
    expect(errorOf(() => plan(resources, host())).code).toBe('bug');
  });
});

describe('looking', () => {
  it('asks for all that planning compares, and reads back no secret', () => {
    const secret = { ...config, path: '/etc/pgs/x/key', content: new Secret('s') };
    const wanted = wantedFor([
      ...all,
      secret,
      absent('unit', 'pgs-old.service'),
      absent('user', 'u'),
      absent('path', '/p'),
    ]);
    expect(wanted.units).toEqual([unit.name, 'pgs-old.service']);
    expect(wanted.users).toEqual(['u']);
    expect(wanted.paths.filter((path) => path.public).map(({ path }) => path)).toEqual([config.path, unitFile.path]);
    const paths = wanted.paths.map(({ path }) => path);
    for (const path of [secret.path, '/etc/pgs/x', '/etc/systemd/system/pgs-old.service', '/p'])
      expect(paths).toContain(path);
  });

  it.each([
    ['after', (file: Resource) => [file, absent('path', config.path)]],
    ['before', (file: Resource) => [absent('path', config.path), file]],
  ])('a file that one state wants gone, said %s it, may be shown as the other says', (_when, both) => {
    expect(wantedFor(both(config)).paths).toEqual([{ path: config.path, public: true }]);
    expect(wantedFor(both({ ...config, content: new Secret('x') })).paths).toEqual([
      { path: config.path, public: false },
    ]);
  });
});

describe('seeing that a unit step is done', () => {
  const condition = unitCondition(unit, all, host());

  it('holds only with the wanted content loaded', () => {
    expect(unitConditionHolds(condition, running)).toBe(true);
    expect(unitConditionHolds(condition, { ...running, loaded: {} })).toBe(false);
    expect(unitConditionHolds(condition, { ...running, active: 'activating' })).toBe(false);
    expect(unitConditionHolds({ ...condition, loaded: { '/gone': '' } }, running)).toBe(true);
    expect(unitConditionHolds({ ...condition, loaded: { [config.path]: '' } }, running)).toBe(false);
  });

  it('of a stop holds only when it is down', () => {
    const stop = { ...condition, active: false, loaded: {} };
    expect(
      ['active', 'deactivating', 'inactive', 'failed'].map((active) =>
        unitConditionHolds(stop, { ...running, active }),
      ),
    ).toEqual([false, false, true, true]);
  });
});
