// Which certificate each member of etcd shows: asked of the running process, since the file on the host may be newer.

import { connect } from 'node:tls';
import type { DcsAccess, DcsEndpoint } from './access.js';
import type { CertificateEnds } from './status.js';

const handshakeTimeoutMs = 1000;

/** Takes at most a second; a member that cannot be asked is null. */
export async function gatherCertificateEnds(access: DcsAccess): Promise<CertificateEnds> {
  const ends = access.endpoints.map(
    async (endpoint) => [endpoint.name, await certificateEnd(endpoint, access)] as const,
  );
  return Object.fromEntries(await Promise.all(ends));
}

function certificateEnd({ url }: DcsEndpoint, { caPem, client }: DcsAccess): Promise<Date | null> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect({
      host: hostname.replace(/^\[|\]$/g, ''),
      port: Number(port || 443),
      ca: caPem,
      ...(client ? { cert: client.certPem, key: client.keyPem.reveal() } : {}),
      // One that ended or names another host is to be reported, not refused; nothing is said over this connection.
      rejectUnauthorized: false,
    });
    const end = (date: Date | null) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(date);
    };
    const timer = setTimeout(() => end(null), handshakeTimeoutMs);
    socket.on('error', () => end(null));
    socket.on('secureConnect', () => {
      const { valid_to: validTo } = socket.getPeerCertificate();
      end(validTo ? new Date(validTo) : null);
    });
  });
}
