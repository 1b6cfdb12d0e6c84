// Where what belongs to drills is in etcd.

const root = '/pgs/state/drills/';

export const drillKeys = {
  schedules: `${root}schedules/`,
  schedule: (tenant: string, name: string) => `${root}schedules/${tenant}/${name}`,
  runs: (tenant: string) => `${root}runs/${tenant}/`,
  run: (tenant: string, id: string) => `${root}runs/${tenant}/${id}`,
  allRuns: `${root}runs/`,
  incident: `${root}incident`,
  /** Held by the one daemon that is active. */
  daemon: `${root}daemon`,
  /** Held by whoever runs a drill. */
  drill: `${root}drill`,
  /** The daemon's own key, sealed with the fleet key. */
  daemonKey: `${root}daemon-key`,
  /** What the daemon may know of a tenant's secrets, sealed with its own key. */
  allSecrets: `${root}secrets/`,
  secrets: (tenant: string) => `${root}secrets/${tenant}`,
  everything: root,
};
