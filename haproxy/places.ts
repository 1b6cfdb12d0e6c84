// Where things of HAProxy are on an entry host, and whose they are.

export const user = 'pgs-haproxy';
export const own = { owner: user, group: user };
export const configDir = '/etc/pgs/haproxy/conf.d';
export const tlsDir = '/etc/pgs/haproxy/tls';
export const globalFile = `${configDir}/00-pgs.cfg`;
/** Only root and HAProxy itself can enter it. */
export const runDir = '/run/pgs-haproxy';
export const adminSocket = `${runDir}/admin.sock`;
export const masterSocket = `${runDir}/master.sock`;

export function tenantFile(tenant: string): string {
  return `${configDir}/tenant-${tenant}.cfg`;
}
