// Proof from outside that a cluster serves: a row written through every entry's `primary` is read through every entry's `replica`.

import { randomUUID } from 'node:crypto';
import { sqlTrust } from '../secrets/rotation.js';
import type { TenantSecrets } from '../secrets/tenant-secrets.js';
import type { Cluster } from '../topology/cluster.js';
import { withServiceClient } from './client.js';

/**
 * Runs the proof once. Rows that replicas have not replayed yet are asked for again until the caller's deadline.
 * @throws PgsError `unreachable` naming the entry and service that failed
 * @returns null when everything was proven, otherwise what is still missing
 */
export async function proveServices(cluster: Cluster, secrets: TenantSecrets): Promise<string | null> {
  const login = { ...secrets.passwords.probe, database: 'postgres' };
  const ca = sqlTrust(secrets);
  const rows = await Promise.all(
    cluster.entries.map(async (entry) => {
      const id = randomUUID();
      await withServiceClient(cluster, entry, 'primary', login, ca, async (client) => {
        await client.query('INSERT INTO pgs.proof (id, entry) VALUES ($1, $2)', [id, entry.name]);
        await client.query("DELETE FROM pgs.proof WHERE at < now() - interval '1 day'");
      });
      return id;
    }),
  );
  const missing = await Promise.all(
    cluster.entries.map((entry) =>
      withServiceClient(cluster, entry, 'replica', login, ca, async (client) => {
        const answer = await client.query<{ seen: string; replica: boolean }>(
          'SELECT count(*) AS seen, pg_is_in_recovery() AS replica FROM pgs.proof WHERE id = ANY($1)',
          [rows],
        );
        const { seen, replica } = answer.rows[0]!;
        if (!replica && cluster.members.length > 1) return `replica of ${entry.name} still goes to the leader`;
        return Number(seen) === rows.length ? null : `replica of ${entry.name} shows ${seen} of ${rows.length} rows`;
      }),
    ),
  );
  return missing.find((m) => m !== null) ?? null;
}
