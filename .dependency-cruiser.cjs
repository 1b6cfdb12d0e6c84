// Imports point one way: cli -> reconcile -> components -> host, state, pki, secrets, inventory, topology.
const components = '^(src/(etcd|patroni|postgres|pgbouncer|sandbox)|haproxy|watchdog)/';
module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'nothing-imports-the-daemon',
      severity: 'error',
      from: { pathNot: '^src/(daemon|cli/(drill|daemon|chaos))/' },
      to: { path: '^src/daemon/' },
    },
    { name: 'nothing-imports-cli', severity: 'error', from: { pathNot: '^src/cli/' }, to: { path: '^src/cli/' } },
    {
      name: 'only-the-command-line-imports-chaos',
      severity: 'error',
      from: {
        path: '^(src|haproxy|watchdog)/',
        pathNot: '^src/(cli/(chaos|drill|daemon)/|cli/commands/chaos|daemon/)',
      },
      to: { path: '^chaos/' },
    },
    {
      name: 'the-oracle-reads-only-the-history',
      comment: 'so that a stored run can be judged again; what it needs of other modules is types',
      severity: 'error',
      from: { path: '^chaos/oracle/' },
      to: { pathNot: '^chaos/(oracle/|history|ledger)', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'faults-are-data',
      comment: 'they name commands and never run them',
      severity: 'error',
      from: { path: '^chaos/(faults/|targets|preflight\\.ts|arm\\.ts)' },
      to: { path: '^(src/(reconcile|sandbox|cli)/|chaos/(run|steps|perform|observe|workload|store|power))' },
    },
    {
      name: 'components-do-not-know-the-plan',
      comment: 'a component may name steps (data), never run them',
      severity: 'error',
      from: { path: components },
      to: { path: '^src/reconcile/', pathNot: '^src/reconcile/step' },
    },
    ...['src/etcd', 'src/patroni', 'src/postgres', 'src/pgbouncer', 'src/sandbox', 'haproxy', 'watchdog'].map(
      (component) => ({
        name: `component-${component.split('/').pop()}-stands-alone`,
        severity: 'error',
        from: { path: `^${component}/` },
        to: { path: components, pathNot: `^${component}/` },
      }),
    ),
    {
      name: 'foundations-do-not-look-up',
      severity: 'error',
      from: { path: '^src/(host|state|drills|pki|secrets|inventory|topology)/' },
      to: {
        path: '^(src/(cli|reconcile|sandbox|patroni|postgres|pgbouncer)|haproxy|watchdog|chaos)/',
        pathNot: '^src/reconcile/step',
      },
    },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    includeOnly: '^(src|haproxy|watchdog|chaos)/',
  },
};
