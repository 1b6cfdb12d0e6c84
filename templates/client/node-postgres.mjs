// node-postgres knows one host; these few lines make it take the next one. Copy them: they need nothing but pg.
import pg from 'pg';

/**
 * A connected client of the first host that answers, beginning with the one that answered last.
 * @param {string[]} hosts every entry of the fleet
 * @param {import('pg').ClientConfig} config everything but the host; without `connectionTimeoutMillis` each host gets 5 s
 */
export function rotateHosts(hosts, config) {
  let current = 0;
  return async function connect() {
    let error;
    for (let tries = 0; tries < hosts.length; tries++) {
      const client = new pg.Client({ connectionTimeoutMillis: 5000, ...config, host: hosts[current] });
      // Without a listener, a connection that is lost while it is idle ends the process.
      client.on('error', () => {});
      try {
        await client.connect();
        return client;
      } catch (thrown) {
        error = thrown;
        client.end().catch(() => {});
        current = (current + 1) % hosts.length;
      }
    }
    throw error;
  };
}
