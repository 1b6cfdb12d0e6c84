// `pgs apply -f` for one tenant or many: who is new is made, who is there gets its spec. Each under its own lock and with its own secrets;
// what is done shows in the tenants' records, so that the same command goes on after an interruption.

import { exitCodes, type PgsError } from '../errors.js';
import type { SpecDocument } from '../topology/spec-documents.js';
import type { TenantRecord } from '../topology/tenant.js';
import { runBounded, type Bounds, type Ended } from './bounded.js';
import type { ChangeOptions } from './change.js';
import { createCluster, draftRecord, planCreate, planDraft, type CreateRequest } from './create.js';
import { planRespec, respecCluster, type Respec } from './respec.js';
import type { Session } from './session.js';
import type { Plan, StepEvent } from './step.js';
import { sharedSupply, type FleetSupply } from './supply.js';

export type Outcome = 'created' | 'changed' | 'unchanged' | 'failed' | 'not begun';

export const outcomes: Outcome[] = ['created', 'changed', 'unchanged', 'failed', 'not begun'];

export interface TenantOutcome {
  tenant: string;
  outcome: Outcome;
  /** Milliseconds; 0 for one that was not begun. */
  tookMs: number;
  /** What was done, or would be; null for one that failed or was not begun. */
  plan: Plan | null;
  error: PgsError | null;
}

export interface ManyOptions extends Required<Bounds> {
  force: boolean;
  /** By tenant, as `ChangeOptions.dropData`. */
  dropData?: Record<string, string[]>;
  onStep: (tenant: string, event: StepEvent) => void;
  /** Called when a tenant's turn comes, and when it is over. */
  onTenant: (tenant: string, what: 'begun' | TenantOutcome) => void;
}

/** How long a look at what hosts can offer is good for the creates that follow it: ports come from the records. */
const supplyGoodForMs = 15_000;

/** Applies one document. @throws PgsError as `createCluster` and `respecCluster` */
export async function applyDocument(
  session: Session,
  document: SpecDocument,
  options: ChangeOptions,
  supply?: () => Promise<FleetSupply>,
): Promise<{ plan: Plan; isNew: boolean }> {
  const phase = await phaseOf(session, document.tenant);
  if (phase !== 'absent') {
    return { plan: await respecCluster(session, respecOf(document), options), isNew: phase === 'creating' };
  }
  const { open, plan } = await createCluster(session, createOf(document, supply), options);
  open.patroni.close();
  return { plan, isNew: true };
}

/** What applying it would do, with nothing stored. */
export async function planDocument(session: Session, document: SpecDocument, dropData: string[] = []): Promise<Plan> {
  if ((await phaseOf(session, document.tenant)) !== 'absent') return planRespec(session, respecOf(document), dropData);
  const { open, plan } = await planCreate(session, createOf(document));
  open.patroni.close();
  return plan;
}

/** A tenant that was destroyed with its data kept is for a create to judge. */
async function phaseOf(session: Session, tenant: string): Promise<TenantRecord['phase'] | 'absent'> {
  const phase = (await (await session.store()).getTenant(tenant))?.record.phase;
  return phase === undefined || phase === 'retired' ? 'absent' : phase;
}

function respecOf({ tenant, given, source }: SpecDocument): Respec {
  return { tenant, command: `apply -f ${source}`, source, given: () => given };
}

function createOf({ given, source }: SpecDocument, supply?: () => Promise<FleetSupply>): CreateRequest {
  return { given, hosts: null, source, reuseData: false, ...(supply ? { supply } : {}) };
}

/** A bounded number of tenants at a time, in the order of the file; what fails is in the answer, never thrown. */
export async function applyMany(
  session: Session,
  documents: SpecDocument[],
  { force, dropData = {}, onStep, onTenant, ...bounds }: ManyOptions,
): Promise<TenantOutcome[]> {
  const supply = sharedSupply(session, supplyGoodForMs);
  return each(documents, bounds, 'applying specs', onTenant, async (document) => {
    const onEvent = (event: StepEvent) => onStep(document.tenant, event);
    const options = { signal: bounds.signal, force, onEvent, dropData: dropData[document.tenant] ?? [] };
    const { plan, isNew } = await applyDocument(session, document, options, supply);
    return { plan, outcome: isNew ? 'created' : changes(plan) ? 'changed' : 'unchanged' };
  });
}

/** What `applyMany` would do, with nothing stored: ports and hosts are what they would be now, one tenant after the other. */
export async function planMany(
  session: Session,
  documents: SpecDocument[],
  { dropData = {}, ...bounds }: Bounds & Pick<ManyOptions, 'dropData'>,
): Promise<TenantOutcome[]> {
  const there = (await (await session.store()).listTenants()).map(({ record }) => record.spec.tenant);
  const news = documents.filter(({ tenant }) => !there.includes(tenant));
  const supply = sharedSupply(session, supplyGoodForMs);
  const drafts: TenantRecord[] = [];
  // Who is placed counts for who comes next, so that is one after the other; it is quick beside looking at what is there.
  const placed = await runBounded(news, { ...bounds, parallel: 1 }, 'placing tenants', async (document) => {
    drafts.push(await draftRecord(session, document.tenant, createOf(document, supply), drafts));
  });
  const noise = () => undefined;
  return each(documents, bounds, 'planning tenants', noise, async (document) => {
    const place = placed[news.indexOf(document)];
    if (place?.state === 'failed') throw place.error;
    const draft = drafts.find(({ spec }) => spec.tenant === document.tenant);
    const plan = draft
      ? await planDraft(session, draft)
      : await planDocument(session, document, dropData[document.tenant]);
    return { plan, outcome: draft ? 'created' : changes(plan) ? 'changed' : 'unchanged' };
  });
}

async function each(
  documents: SpecDocument[],
  bounds: Bounds,
  doing: string,
  onTenant: ManyOptions['onTenant'],
  work: (document: SpecDocument) => Promise<Done>,
): Promise<TenantOutcome[]> {
  const begin = (document: SpecDocument) => {
    onTenant(document.tenant, 'begun');
    return work(document);
  };
  const tell = (document: SpecDocument, end: Ended<Done>) => onTenant(document.tenant, outcomeOf(document, end));
  const ended = await runBounded(documents, bounds, doing, begin, tell);
  return ended.map((end, i) => outcomeOf(documents[i]!, end));
}

type Done = Pick<TenantOutcome, 'plan' | 'outcome'>;

function outcomeOf({ tenant }: SpecDocument, end: Ended<Done>): TenantOutcome {
  if (end.state === 'done') return { tenant, ...end.value, tookMs: end.tookMs, error: null };
  if (end.state === 'failed') return { tenant, outcome: 'failed', tookMs: end.tookMs, plan: null, error: end.error };
  return { tenant, outcome: 'not begun', tookMs: 0, plan: null, error: null };
}

/** Waiting and proving change nothing. */
function changes({ steps }: Plan): boolean {
  return steps.some(({ action }) => action.kind !== 'none');
}

export function countOutcomes(all: Pick<TenantOutcome, 'outcome'>[]): Record<Outcome, number> {
  const count = (outcome: Outcome) => all.filter((t) => t.outcome === outcome).length;
  return Object.fromEntries(outcomes.map((outcome) => [outcome, count(outcome)])) as Record<Outcome, number>;
}

/** That of the gravest; who was not begun, and what could not be looked at, is not known to be as it should. */
export function exitCodeOf(all: Pick<TenantOutcome, 'outcome' | 'plan' | 'error'>[]): number {
  const codes = all.map(({ outcome, plan, error }) => {
    if (error) return exitCodes[error.code];
    return outcome === 'not begun' || (plan?.warnings.length ?? 0) > 0 ? exitCodes['unknown-result'] : 0;
  });
  return Math.max(0, ...codes);
}
