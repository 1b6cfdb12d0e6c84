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
    { name: 'nothing-imports-cli', severity: 'error', from: { pathNot: '^src/cli/' }, to: { path: '^src/cli/' } },
    {
      name: 'nothing-imports-chaos',
      severity: 'error',
      from: { path: '^(src|haproxy|watchdog)/' },
      to: { path: '^chaos/' },
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
      from: { path: '^src/(host|state|pki|secrets|inventory|topology)/' },
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
