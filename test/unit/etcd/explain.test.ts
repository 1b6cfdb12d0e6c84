import { describe, expect, it } from 'vitest';
import { PgsError } from '../../../src/errors.js';
import { explainStart } from '../../../src/etcd/explain.js';

/** Recorded from etcd 3.5.16 on Debian 13. */
const journal = (error: string) =>
  [
    'Job for pgs-etcd.service failed because the control process exited with error code.',
    'its last journal lines:',
    'Nov 21 01:26:04 etcd[4899]: {"level":"warn","ts":"2026-11-21T01:26:04.319073Z","caller":"embed/config.go:689","msg":"Running http and grpc server on single port."}',
    `Nov 21 01:26:04 etcd[4899]: {"level":"fatal","ts":"2026-11-21T01:26:04.353532Z","caller":"etcdmain/etcd.go:204","msg":"discovery failed","error":"${error}","stacktrace":"main.main"}`,
    'Nov 21 01:26:04 systemd[1]: pgs-etcd.service: Main process exited, code=exited, status=1/FAILURE',
  ].join('\n');
const failed = (found: string) =>
  new PgsError('command-failed', { doing: 'starting pgs-etcd.service', host: 'h3', found, hint: 'See more on h3' });

describe('explainStart', () => {
  it.each([
    ['member b877c2acf51a92d4 has already been bootstrapped', /lost its data directory/],
    ['listen tcp 10.213.136.12:2379: bind: address already in use', /Stop what listens there/],
  ])('says %s in a line, and what to do', (said, hint) => {
    const { details, code } = explainStart(failed(journal(said)));
    expect(details.found).toBe(`etcd says: discovery failed: ${said}`);
    expect(details.hint).toMatch(hint);
    expect([code, details.host, details.doing]).toEqual(['command-failed', 'h3', 'starting pgs-etcd.service']);
  });

  it('keeps an error of which it knows nothing as it is', () => {
    for (const found of ['the host is down', '{"level":"fatal"', '{"level":"fatal","msg":7}']) {
      const error = failed(found);
      expect(explainStart(error)).toBe(error);
    }
  });
});
