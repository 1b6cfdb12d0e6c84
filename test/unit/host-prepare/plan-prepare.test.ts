// The plan of `pgs host prepare`: guards before packages, nothing for a fit host, nothing at all for a host that is not ours.

import { describe, expect, it } from 'vitest';
import { PgsError } from '../../../src/errors.js';
import { pgdgSource, desiredHost } from '../../../src/host/desired-host.js';
import { findRelease, packagesFor } from '../../../src/host/packages.js';
import { planPrepare, prepareFingerprint } from '../../../src/host/plan-prepare.js';
import { checkResources } from '../../../src/host/resource-rules.js';
import type { Inventory } from '../../../src/inventory/inventory.js';
import type { Step } from '../../../src/reconcile/step.js';
import { external, fitFacts, hostFacts, inventory, recorded } from './host-cases.js';

const pgdg: Inventory = { ...inventory, packages: 'pgdg' };

function installs(steps: Step[]): string[][] {
  return steps.flatMap(({ action }) => (action.kind === 'packages' ? [action.install] : []));
}

describe('a bare host', () => {
  const plan = planPrepare({ check: recorded('trixie-bare'), host: hostFacts('bare') }, inventory, 'h1');

  it('gets guards, then the journal, then packages', () => {
    expect(plan.steps.map(({ id }) => id)).toEqual([
      'h1/prepare/files',
      'h1/prepare/systemd-journald.service',
      'h1/prepare/packages',
    ]);
    expect(plan.steps[2]!.needs).toEqual(['h1/prepare/files', 'h1/prepare/systemd-journald.service']);
    expect(plan.steps.some(({ destructive }) => destructive)).toBe(false);
  });

  it('has every unit masked that its packages would start', () => {
    const [files] = plan.steps;
    const masked = files!.diff.filter(({ after }) => after === 'masked').map(({ what }) => what);
    for (const name of ['etcd', 'haproxy', 'pgbouncer', 'patroni', 'pgbackrest']) {
      expect(masked).toContain(`unit ${name}.service`);
    }
  });

  it('gets what is missing of the release, holds what clusters run from, and no chrony in a container', () => {
    expect(plan.steps[2]!.action).toEqual({
      kind: 'packages',
      install: [
        'postgresql-17',
        'postgresql-client-17',
        'patroni',
        'etcd-server',
        'etcd-client',
        'haproxy',
        'pgbouncer',
        'python3-etcd',
        'socat',
      ],
      hold: ['postgresql-17', 'postgresql-client-17', 'patroni', 'etcd-server', 'etcd-client', 'haproxy', 'pgbouncer'],
    });
  });

  it('is planned the same each time', () => {
    const again = planPrepare({ check: recorded('trixie-bare'), host: hostFacts('bare') }, inventory, 'h1');
    expect(again).toEqual(plan);
  });
});

it('has nothing to do on a fit host, and on one that was prepared for real', () => {
  expect(planPrepare({ check: fitFacts(), host: hostFacts('prepared') }, inventory, 'h1').steps).toEqual([]);
  const bookworm = { check: recorded('bookworm-prepared'), host: hostFacts('prepared') };
  expect(planPrepare(bookworm, inventory, 'h1')).toMatchObject({ steps: [], warnings: [] });
});

it('does only what is missing', () => {
  const facts = fitFacts();
  facts.packages.haproxy = { ...facts.packages.haproxy!, held: false };
  facts.packages.patroni = { ...facts.packages.patroni!, installed: null, halfInstalled: true };
  const { steps } = planPrepare({ check: facts, host: hostFacts('prepared') }, inventory, 'h1');
  expect(steps.map(({ action }) => action)).toEqual([{ kind: 'packages', install: ['patroni'], hold: ['haproxy'] }]);
  expect(steps[0]!.diff).toEqual([
    { what: 'package patroni', before: 'half installed', after: '4.0.7-3~deb13u1' },
    { what: 'package haproxy', before: '3.0.11-1+deb13u3', after: '3.0.11-1+deb13u3, held' },
  ]);
});

it('makes journald read limits that were written when a run was cut off before', () => {
  const facts = fitFacts({ journalLimitsLoaded: false });
  const { steps } = planPrepare({ check: facts, host: hostFacts('prepared') }, inventory, 'h1');
  expect(steps.map(({ action }) => action)).toEqual([
    { kind: 'unit', unit: 'systemd-journald.service', verb: 'restart' },
  ]);
});

describe('a clock that nobody keeps', () => {
  const unkept = { offsetMs: 0, uncertaintyMs: 0, services: [], synchronized: false };
  const chrony = (change: object) => {
    const facts = fitFacts({ clock: unkept, container: null });
    facts.packages.chrony = { installed: null, halfInstalled: false, candidate: '4.6', held: false };
    Object.assign(facts, change);
    return installs(planPrepare({ check: facts, host: hostFacts('prepared') }, inventory, 'h1').steps);
  };

  it('gets chrony, but not in a container or beside another service', () => {
    expect(chrony({})).toEqual([['chrony']]);
    expect(chrony({ container: 'lxc' })).toEqual([]);
    expect(chrony({ clock: { ...unkept, services: ['ntpsec.service'] } })).toEqual([]);
  });
});

describe('a host that is not ours to change is refused as a whole', () => {
  const refused = (check: ReturnType<typeof fitFacts>) => {
    try {
      planPrepare({ check, host: hostFacts('bare') }, inventory, 'h1');
    } catch (thrown) {
      if (thrown instanceof PgsError) return thrown;
    }
    throw new Error('it was not refused');
  };

  it('because somebody’s units run there; they are named, with what to do', () => {
    const error = refused(recorded('trixie-taken'));
    expect(error.code).toBe('unfit');
    expect(error.details).toMatchObject({
      host: 'h1',
      found: "units: somebody's: etcd.service, postgresql@17-main.service",
    });
    expect(error.details.hint).toContain('systemctl disable --now etcd.service postgresql@17-main.service');
  });

  it('because of its release', () => {
    const error = refused(fitFacts({ release: { id: 'debian', codename: 'buster', title: 'Debian 10' } }));
    expect(error.details.hint).toContain('Debian 12 (bookworm)');
  });

  it('because its versions would not work together', () => {
    const facts = recorded('trixie-bare');
    facts.packages['etcd-server']!.candidate = '3.5.30-1';
    expect(refused(facts).details.found).toContain('Patroni 4.0.7 cannot keep its lease with etcd 3.5.30');
  });
});

it('says aloud that it masks a unit which somebody had set to start', () => {
  const units = { 'haproxy.service': { active: 'inactive', masked: false, enabled: true } };
  const { warnings } = planPrepare({ check: fitFacts({ units }), host: hostFacts('bare') }, inventory, 'h1');
  expect(warnings).toEqual([
    'haproxy.service of the distribution is enabled on h1, though it does not run: it will be masked',
  ]);
});

describe('with an external etcd', () => {
  it("installs no etcd server and leaves the distribution's etcd alone", () => {
    const { steps } = planPrepare({ check: recorded('trixie-bare'), host: hostFacts('bare') }, external, 'h1');
    expect(installs(steps)[0]).not.toContain('etcd-server');
    expect(installs(steps)[0]).toContain('etcd-client');
    expect(JSON.stringify(steps)).not.toContain('etcd.service');
  });
});

describe('with PGDG', () => {
  it('fetches its key by a package of Debian, then adds the source, then installs from it', () => {
    const { steps } = planPrepare({ check: recorded('trixie-bare'), host: hostFacts('bare') }, pgdg, 'h1');
    expect(steps.map(({ id }) => id)).toEqual([
      'h1/prepare/files',
      'h1/prepare/systemd-journald.service',
      'h1/prepare/pgdg-key',
      'h1/pgdg/files',
      'h1/prepare/packages',
    ]);
    expect(installs(steps)[0]).toEqual(['postgresql-common']);
    expect(steps[3]!.needs).toContain('h1/prepare/pgdg-key');
    expect(steps[4]!.needs).toContain('h1/pgdg/files');
  });

  it('takes the PostgreSQL that is asked for', () => {
    const asks16: Inventory = { ...pgdg, defaults: { ...pgdg.defaults, postgres: 16 } };
    expect(packagesFor(asks16, findRelease('bookworm')!).hold).toContain('postgresql-16');
  });

  it('renders the source as PGDG documents it, signed by the key of that package', () => {
    expect(pgdgSource(findRelease('trixie')!)).toMatchObject({
      path: '/etc/apt/sources.list.d/pgdg.sources',
      mode: '0644',
      content: `# Written by pgs (\`packages: pgdg\` in pgs.yaml). The key comes with Debian's postgresql-common.
Types: deb
URIs: https://apt.postgresql.org/pub/repos/apt
Suites: trixie-pgdg
Components: main
Signed-By: /usr/share/postgresql-common/pgdg/apt.postgresql.org.asc
`,
    });
    expect(pgdgSource(findRelease('bookworm')!).content).toContain('Suites: bookworm-pgdg\n');
  });

  it('has nothing to do when all is there', () => {
    expect(planPrepare({ check: fitFacts(), host: hostFacts('prepared') }, pgdg, 'h1').steps).toEqual([]);
  });
});

it('wants only what the mechanism for files and units takes', () => {
  expect(() => checkResources([...desiredHost(inventory), pgdgSource(findRelease('trixie')!)])).not.toThrow();
});

describe('the fingerprint of a prepared machine', () => {
  it('is the same for the same work, and for hosts and ports, which prepare does not look at', () => {
    expect(prepareFingerprint('trixie')).toBe(prepareFingerprint('trixie', inventory));
    expect(prepareFingerprint('trixie')).toMatch(/^[0-9a-f]{16}$/);
  });

  it('differs by release, source of packages and kind of etcd', () => {
    const all = [
      prepareFingerprint('trixie'),
      prepareFingerprint('bookworm'),
      prepareFingerprint('trixie', pgdg),
      prepareFingerprint('trixie', external),
    ];
    expect(new Set(all).size).toBe(all.length);
  });

  it('is refused for a release that cannot be prepared', () => {
    expect(() => prepareFingerprint('sid')).toThrow(/no release sid/);
  });
});
