// Which certificates end soon.

import { daysLeft } from '../pki/certificate.js';
import type { FleetSecrets } from '../secrets/fleet-secrets.js';
import type { OpenCluster } from './cluster.js';

/** A certificate with fewer days is worth a warning, and `pgs apply` renews it. */
export const certificateDaysMin = 30;

/** A warning for every certificate of the tenant, and the CAs above it, that ends within 30 days. */
export function judgeCertificates(
  { cluster, secrets }: Pick<OpenCluster, 'cluster' | 'secrets'>,
  fleet: FleetSecrets,
  now: Date,
): string[] {
  const named: [string, string][] = [
    [`the REST CA of ${cluster.tenant}`, secrets.restCa.certPem],
    [`the SQL CA of ${cluster.tenant}`, secrets.sqlCa.certPem],
    ['the client CA of etcd', fleet.etcdClientCa.certPem],
    ['the peer CA of etcd', fleet.etcdPeerCa.certPem],
    ...Object.entries(secrets.certificates).flatMap(([host, issued]): [string, string][] => [
      [`the REST certificate on ${host}`, issued.rest.certPem],
      [`the SQL certificate on ${host}`, issued.sql.certPem],
      [`the etcd certificate on ${host}`, issued.etcd.certPem],
    ]),
  ];
  return named.flatMap(([name, pem]) => {
    const days = daysLeft(pem, now);
    if (days >= certificateDaysMin) return [];
    return [days < 0 ? `${name} ended ${-days} days ago` : `${name} ends in ${days} days`];
  });
}
