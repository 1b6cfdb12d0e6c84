// Making the fleet's etcd: gather, plan, apply. The hosts' part goes through the same mechanism as every component's.

import { PgsError, PgsErrors } from '../errors.js';
import { checkDcs, gatherDcs, performDcs } from '../etcd/dcs.js';
import { explainStart } from '../etcd/explain.js';
import { planDcs } from '../etcd/plan.js';
import { applyResources, performUnit } from '../host/apply-resources.js';
import { unitConditionHolds } from '../host/compare-units.js';
import { gatherHostFacts } from '../host/gather.js';
import type { Effects, Seen } from './execute.js';
import type { Session } from './session.js';
import type { Condition, Plan, Step } from './step.js';

export async function planFleetDcs(session: Session): Promise<Plan> {
  const facts = await gatherDcs(session, (name) => session.hosts.get(name));
  return planDcs(session.inventory, session.fleetSecrets, facts);
}

/** Members wait for each other's start, so all hosts must be there to be changed. @throws PgsError `unreachable` */
export async function planFleetDcsToApply(session: Session): Promise<Plan> {
  const facts = await gatherDcs(session, (name) => session.hosts.get(name));
  const errors = Object.entries(facts.hosts).flatMap(([host, found]) =>
    found.reachable
      ? []
      : [
          new PgsError('unreachable', {
            doing: 'looking at the hosts of etcd',
            host,
            found: found.why,
            hint: 'Bring the host back (`pgs host check`), then run the same command again.',
          }),
        ],
  );
  if (errors.length > 1) throw new PgsErrors('looking at the hosts of etcd', errors);
  if (errors[0]) throw errors[0];
  return planDcs(session.inventory, session.fleetSecrets, facts);
}

export function createDcsEffects(session: Session): Effects {
  return {
    perform: (step) => perform(session, step),
    check: (step) => check(session, step.host, step.done),
  };
}

async function perform(session: Session, step: Step): Promise<void> {
  const { action, timeoutMs } = step;
  switch (action.kind) {
    case 'none':
      return;
    case 'resources':
      return applyResources(session.hosts.get(step.host!), action.resources, timeoutMs);
    case 'unit':
      return performUnit(session.hosts.get(step.host!), action.unit, action.verb, timeoutMs).catch(
        (thrown: unknown) => {
          throw thrown instanceof PgsError ? explainStart(thrown) : thrown;
        },
      );
    case 'dcs-auth-enable':
      return performDcs(action, session);
    default:
      throw new PgsError('bug', { doing: step.title, found: `etcd's plan has a step of kind ${action.kind}` });
  }
}

async function check(session: Session, host: string | null, condition: Condition): Promise<Seen> {
  switch (condition.kind) {
    case 'none':
      return { done: true, seen: '' };
    case 'unit':
      return checkUnit(session, host!, condition);
    case 'dcs-healthy':
      return checkDcs(condition, session);
    default:
      throw new PgsError('bug', { doing: 'checking a step', found: `etcd's plan waits for ${condition.kind}` });
  }
}

async function checkUnit(session: Session, host: string, wanted: Extract<Condition, { kind: 'unit' }>): Promise<Seen> {
  const facts = await gatherHostFacts(session.hosts.get(host), { users: [], paths: [], units: [wanted.unit] });
  if (!facts.reachable) return { done: false, seen: facts.why };
  const unit = facts.units[wanted.unit];
  if (!unit) return { done: false, seen: `${wanted.unit} is not there` };
  return { done: unitConditionHolds(wanted, unit), seen: `${wanted.unit} is ${unit.active}` };
}
