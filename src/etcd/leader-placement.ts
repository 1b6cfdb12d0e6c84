// Where etcd's leader should be: on a host that leads few PostgreSQLs, since losing a host that leads both is the slow case (a new leader
// of etcd extends every lease). Pure.

export interface EtcdLeaderFacts {
  /** Member, which is the name of its host, that leads now; null while nobody does. */
  leader: string | null;
  /** Members that follow the same leader and could take over. */
  fit: string[];
  /** PostgreSQL leaders by host; hosts without one may be missing. */
  postgresLeaders: Record<string, number>;
}

export interface EtcdLeaderMove {
  from: string;
  to: string;
  why: string;
}

/**
 * A better place by enough: one that leads no PostgreSQL when the present one does, or two fewer. A difference of one among many is
 * left, or etcd's leader would move with every switchover, each time extending all leases.
 */
export function planEtcdLeader({ leader, fit, postgresLeaders }: EtcdLeaderFacts): EtcdLeaderMove | null {
  if (leader === null) return null;
  const count = (host: string) => postgresLeaders[host] ?? 0;
  const best = [...fit].sort((a, b) => count(a) - count(b) || (a < b ? -1 : 1))[0];
  if (best === undefined || best === leader) return null;
  const [here, there] = [count(leader), count(best)];
  if (!(there === 0 && here > 0) && here - there < 2) return null;
  return { from: leader, to: best, why: `${leader} leads ${here} of the clusters as well, ${best} leads ${there}` };
}
