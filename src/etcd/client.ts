// The DCS as pgs uses it: keys, transactions, leases, logins and members, over etcd3. Every call has a deadline, and a lost
// quorum is an error within 5 s, never a hang (see connection.ts).

import type { ICompare, IKeyValue, IRequestOp } from 'etcd3';
import type { Inventory } from '../inventory/inventory.js';
import type { FleetSecrets } from '../secrets/fleet-secrets.js';
import { dcsAccess, type DcsAccess, type DcsEndpoint } from './access.js';
import { createLogins, type Logins } from './logins.js';
import { createMaintenance, type Maintenance } from './maintenance.js';
import { connectTimeoutMs, EtcdConnection } from './connection.js';

export interface KeyValue {
  key: string;
  value: string;
  /** Revisions are 64-bit numbers as decimal text, compared for equality only. */
  createRevision: string;
  modRevision: string;
  /** Id of the lease that the key goes away with. */
  lease: string | null;
}

export type Comparison =
  | { key: string; is: 'absent' | 'present' }
  | { key: string; modRevision: string }
  | { key: string; createRevision: string };

export type Write = { put: string; value: string; lease?: string } | { deleteKey: string } | { deletePrefix: string };

export interface Transaction {
  if: Comparison[];
  then: Write[];
  /** Keys to read when a comparison fails. */
  otherwiseRead?: string[];
}

export interface TransactionResult {
  succeeded: boolean;
  /** Revision of the store after it: the mod revision of what it put. */
  revision: string;
  found: (KeyValue | null)[];
}

export interface Lease {
  id: string;
  ttlS: number;
}

/** All methods throw PgsError as `EtcdConnection.call` says. */
export interface Dcs {
  readonly endpoints: DcsEndpoint[];
  readonly logins: Logins;
  readonly maintenance: Maintenance;
  get(key: string): Promise<KeyValue | null>;
  /** In the order of the keys. */
  getPrefix(prefix: string): Promise<KeyValue[]>;
  put(key: string, value: string, lease?: string): Promise<void>;
  /** Returns whether the key was there. */
  delete(key: string): Promise<boolean>;
  /** Returns how many keys were there. */
  deletePrefix(prefix: string): Promise<number>;
  /** Sent once: `unknown-result` if its answer was lost, and then the caller looks at what is there. */
  transact(transaction: Transaction): Promise<TransactionResult>;
  grantLease(ttlS: number): Promise<Lease>;
  /** Returns the lease's time to live in seconds, 0 if it is gone. */
  keepLeaseAlive(id: string): Promise<number>;
  /** Seconds until the lease ends if nobody renews it, 0 if it is gone. */
  leaseRemainingS(id: string): Promise<number>;
  /** Ends a lease and its keys; no error if it is gone. */
  revokeLease(id: string): Promise<void>;
  close(): void;
}

/** The DCS of the fleet, logged in as root. @throws PgsError as `openDcs` and `dcsAccess` */
export async function connectDcs(
  inventory: Inventory,
  fleetSecrets: FleetSecrets,
  authentication: 'required' | 'being-set-up' = 'required',
): Promise<Dcs> {
  return openDcs(await dcsAccess(inventory, fleetSecrets), authentication);
}

/** The DCS without a first proof: to look at its members while there may be no quorum. Makes no connection yet. */
export async function lookAtDcs(
  inventory: Inventory,
  fleetSecrets: FleetSecrets,
  authentication: 'required' | 'being-set-up' = 'required',
): Promise<Dcs> {
  return createDcs(new EtcdConnection(await dcsAccess(inventory, fleetSecrets), authentication));
}

/**
 * Connects, which is proven by the first answer of a member that has a quorum.
 * @param authentication `being-set-up`: go on without a login while etcd's authentication is off; only `dcs create` may.
 */
export async function openDcs(
  access: DcsAccess,
  authentication: 'required' | 'being-set-up' = 'required',
): Promise<Dcs> {
  const connection = new EtcdConnection(access, authentication);
  const dcs = createDcs(connection);
  try {
    await connection.call({
      doing: 'connecting to etcd',
      repeat: 'repeatable',
      timeoutMs: connectTimeoutMs,
      perform: (etcd, options) => etcd.kv.range({ key: Buffer.from('/pgs/'), count_only: true }, options),
    });
    return dcs;
  } catch (thrown) {
    connection.close();
    throw thrown;
  }
}

function createDcs(connection: EtcdConnection): Dcs {
  const removeRange = async (doing: string, key: Buffer, end?: Buffer) => {
    const { deleted } = await connection.call({
      doing,
      repeat: 'repeatable',
      perform: ({ kv }, options) => kv.deleteRange({ key, ...(end ? { range_end: end } : {}) }, options),
    });
    return Number(deleted);
  };
  const readRange = async (doing: string, key: Buffer, end?: Buffer) => {
    const { kvs } = await connection.call({
      doing,
      repeat: 'repeatable',
      perform: ({ kv }, options) => kv.range({ key, ...(end ? { range_end: end } : {}) }, options),
    });
    return kvs.map(parseKeyValue);
  };
  return {
    endpoints: connection.endpoints,
    logins: createLogins(connection),
    maintenance: createMaintenance(connection),
    get: async (key) => (await readRange(`reading ${key} in etcd`, Buffer.from(key)))[0] ?? null,
    getPrefix: (prefix) => readRange(`reading ${prefix} in etcd`, Buffer.from(prefix), prefixEnd(prefix)),
    put: async (key, value, lease) => {
      await connection.call({
        doing: `writing ${key} in etcd`,
        repeat: 'repeatable',
        perform: ({ kv }, options) => kv.put(putRequest(key, value, lease), options),
      });
    },
    delete: async (key) => (await removeRange(`removing ${key} in etcd`, Buffer.from(key))) > 0,
    deletePrefix: (prefix) => removeRange(`removing ${prefix} in etcd`, Buffer.from(prefix), prefixEnd(prefix)),
    transact: (transaction) => transact(connection, transaction),
    ...leasesOf(connection),
    close: () => connection.close(),
  };
}

async function transact(connection: EtcdConnection, transaction: Transaction): Promise<TransactionResult> {
  const writes = transaction.then.map(writtenKey).join(', ');
  const answer = await connection.call({
    doing: `writing ${writes} in etcd`,
    repeat: 'once',
    perform: ({ kv }, options) =>
      kv.txn(
        {
          compare: transaction.if.map(compareRequest),
          success: transaction.then.map(writeRequest),
          failure: (transaction.otherwiseRead ?? []).map((key) => ({ request_range: { key: Buffer.from(key) } })),
        },
        options,
      ),
  });
  const found = answer.succeeded
    ? []
    : answer.responses.map(({ response_range: range }) => (range.kvs[0] ? parseKeyValue(range.kvs[0]) : null));
  return { succeeded: answer.succeeded, revision: answer.header.revision, found };
}

function leasesOf(
  connection: EtcdConnection,
): Pick<Dcs, 'grantLease' | 'keepLeaseAlive' | 'leaseRemainingS' | 'revokeLease'> {
  return {
    // Sent again after a lost answer: at worst a lease without keys runs out by itself.
    grantLease: (ttlS) =>
      connection.call({
        doing: 'taking a lease in etcd',
        repeat: 'repeatable',
        perform: async ({ leaseClient }, options) => {
          const { ID, TTL } = await leaseClient.leaseGrant({ TTL: ttlS }, options);
          return { id: ID, ttlS: Number(TTL) };
        },
      }),
    keepLeaseAlive: (id) =>
      connection.call({
        doing: 'renewing a lease in etcd',
        repeat: 'repeatable',
        perform: async ({ leaseClient }, options) => {
          const stream = await leaseClient.leaseKeepAlive(options);
          try {
            return await new Promise<number>((resolve, reject) => {
              stream.on('data', ({ TTL }) => resolve(Number(TTL)));
              stream.on('error', reject);
              stream.on('end', () => reject(new Error('14 UNAVAILABLE: the stream ended')));
              stream.write({ ID: id });
            });
          } finally {
            stream.end();
          }
        },
      }),
    leaseRemainingS: (id) =>
      connection.call({
        doing: 'looking at a lease in etcd',
        repeat: 'repeatable',
        perform: async ({ leaseClient }, options) => {
          const { TTL } = await leaseClient.leaseTimeToLive({ ID: id }, options);
          return Math.max(0, Number(TTL));
        },
      }),
    revokeLease: (id) =>
      connection.call({
        doing: 'ending a lease in etcd',
        repeat: 'repeatable',
        perform: async ({ leaseClient }, options) => {
          await leaseClient.leaseRevoke({ ID: id }, options).catch((thrown: unknown) => {
            if (!(thrown instanceof Error && /lease not found|is expired or revoked/.test(thrown.message)))
              throw thrown;
          });
        },
      }),
  };
}

/** First key after all keys with the prefix. */
export function prefixEnd(prefix: string): Buffer {
  const end = Buffer.from(prefix);
  for (let i = end.length - 1; i >= 0; i--) {
    if (end[i]! < 0xff) {
      end[i]!++;
      return end.subarray(0, i + 1);
    }
  }
  return Buffer.from([0]);
}

function parseKeyValue(kv: IKeyValue): KeyValue {
  return {
    key: kv.key.toString(),
    value: kv.value.toString(),
    createRevision: kv.create_revision,
    modRevision: kv.mod_revision,
    lease: kv.lease === '0' ? null : kv.lease,
  };
}

function compareRequest(comparison: Comparison): ICompare {
  const key = Buffer.from(comparison.key);
  if ('is' in comparison) {
    const result = comparison.is === 'absent' ? 'Equal' : 'Greater';
    return { key, target: 'Create', result, create_revision: '0' };
  }
  return 'modRevision' in comparison
    ? { key, target: 'Mod', result: 'Equal', mod_revision: comparison.modRevision }
    : { key, target: 'Create', result: 'Equal', create_revision: comparison.createRevision };
}

function putRequest(key: string, value: string, lease?: string): NonNullable<IRequestOp['request_put']> {
  return { key: Buffer.from(key), value: Buffer.from(value), ...(lease ? { lease } : {}) };
}

function writeRequest(write: Write): IRequestOp {
  if ('put' in write) return { request_put: putRequest(write.put, write.value, write.lease) };
  if ('deleteKey' in write) return { request_delete_range: { key: Buffer.from(write.deleteKey) } };
  return { request_delete_range: { key: Buffer.from(write.deletePrefix), range_end: prefixEnd(write.deletePrefix) } };
}

function writtenKey(write: Write): string {
  return 'put' in write ? write.put : 'deleteKey' in write ? write.deleteKey : write.deletePrefix;
}
