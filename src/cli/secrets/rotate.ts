// `pgs rotate`

import { join } from 'node:path';
import type { Command } from 'commander';
import { PgsError } from '../../errors.js';
import { applyCluster, planOf, withTenantLock } from '../../reconcile/change.js';
import { gatherCluster, openCluster, withCluster } from '../../reconcile/cluster.js';
import { proveNoSuperuser, type Proof } from '../../reconcile/prove-rotation.js';
import { planRotate, rotateTenant, type Rotated, type RotateRequest } from '../../reconcile/rotate.js';
import { withFileLock } from '../../operator-files.js';
import { rotateFleet } from '../../reconcile/rotate-fleet.js';
import { ownTargets, type RotationTarget } from '../../secrets/rotation.js';
import { confirmByTyping, withHosts, type Context } from '../context.js';
import { reportSteps, showChange, showDryRun } from '../plan-text.js';
import { writeClientFiles } from '../cluster/client-files.js';
import { resolveTenant } from '../cluster/tenant.js';
import type { RotateFlags } from '../commands/secrets.js';
import { rotateWords, type RotateWord } from './words.js';

/** `-o json`: the plan as `pgs plan -o json`, with {applied, targets, resumed, waitsFor, proofs: [{what, where, present, before, said}]} */
export async function rotate(
  given: string | undefined,
  word: RotateWord,
  flags: RotateFlags,
  command: Command,
): Promise<void> {
  await withHosts(command, async (context) => {
    const { session } = context;
    if (flags.fleet) return rotateFleetCas(context, given, word, flags);
    const [name, what] = await readWords(context, given, word);
    const tenant = await resolveTenant(session, name);
    if (what === 'superuser') return rotateSuperuser(context, tenant, flags);
    await rotateOthers(context, tenant, what, flags);
  });
}

/** `pgs rotate ca` with one tenant names no tenant. */
async function readWords(
  { session }: Context,
  given: string | undefined,
  word: RotateWord,
): Promise<[string | undefined, RotateWord]> {
  const alone = rotateWords.find((known) => known === given && word === 'all');
  if (alone === undefined || (await (await session.store()).getTenant(alone))) return [given, word];
  return [undefined, alone];
}

async function rotateOthers(
  context: Context,
  tenant: string,
  what: Exclude<RotateWord, 'superuser'>,
  flags: RotateFlags,
): Promise<void> {
  const { session, terminal, signal } = context;
  const targets: RotationTarget[] | null = what === 'all' ? null : [what];
  const request: RotateRequest = { targets, clientsTrustNext: flags.clientsTrustNext, onlyResume: flags.resume };
  if (flags.dryRun) {
    const planned = await planRotate(session, tenant, request);
    return showDryRun(terminal, planned.plan, reportOf(planned));
  }
  if (what === 'app' && !flags.yes && !flags.resume) {
    const question = `Clients that connect as app to ${tenant} need the new password from now on; open sessions go on.`;
    await confirmByTyping(tenant, question, '--yes');
  }
  const done = await rotateTenant(session, tenant, request, { signal, onEvent: reportSteps(terminal) });
  const files = await withCluster(session, tenant, (open) => writeClientFiles(session, open));
  await showChange(terminal, done.plan, reportOf(done), () => describeRotated(tenant, done, files));
}

function reportOf({ targets, resumed, waitsFor, proofs }: Rotated): object {
  return { targets, resumed, waitsFor, proofs };
}

function describeRotated(
  tenant: string,
  { targets, resumed, waitsFor, proofs }: Rotated,
  files: { caPath: string; passwordPath: string },
): string {
  if (targets.length === 0) return `${tenant}: nothing was begun that is not finished`;
  if (waitsFor === 'clients') {
    return [
      `${tenant}: everybody trusts the present and the next CA. Clients must, too, before the certificates change:`,
      `  give them ${files.caPath}, which holds both, then run: pgs rotate ${tenant} ca --clients-trust-next`,
    ].join('\n');
  }
  const gone = resumed === null ? '' : `, which was begun ${resumed}`;
  const rest =
    targets.length === ownTargets.length
      ? ['the password of app and the CAs were not: clients need to know (`pgs rotate --help`)']
      : [];
  const app = targets.includes('app') ? [`the new password is in ${files.passwordPath}`] : [];
  return [
    `${tenant}: replacing ${targets.join(', ')}${gone} is done`,
    ...proofs.map(describeProof),
    ...app,
    ...rest,
  ].join('\n');
}

function describeProof({ what, where, present, before, said }: Proof): string {
  return `  ${what.padEnd(12)} ${where.padEnd(20)} new: ${present}, old: ${before} (${said})`;
}

async function rotateFleetCas(
  { session, terminal, signal }: Context,
  given: string | undefined,
  word: RotateWord,
  flags: RotateFlags,
): Promise<void> {
  const said = [given, word].filter((text) => text !== undefined && text !== 'all');
  if (said.join() !== 'ca' || flags.dryRun) {
    throw new PgsError('usage', {
      doing: "replacing secrets of the fleet's etcd",
      found: flags.dryRun
        ? '--dry-run, which this cannot'
        : `${said.join(' ') || 'nothing'} is named, and only ca can be`,
      hint: '`pgs rotate --fleet ca`',
    });
  }
  const onPhase = (phase: string) => terminal.progress(`phase ${phase}`);
  const watch = { signal, onEvent: reportSteps(terminal), onPhase };
  // There is no lock of the fleet in etcd, whose members restart: two of these are kept apart on the operator's machine.
  const done = await withFileLock(join(session.inventory.stateDir, 'dcs'), () =>
    rotateFleet(session, flags.resume, watch),
  );
  if (done?.daemon)
    terminal.warn('the daemon knows the CA of before only: run `pgs daemon grant`, and restart it where it runs');
  await terminal.result(done ?? { tenants: [] }, () => {
    if (!done) return 'nothing was begun that is not finished';
    const refusals = Object.entries(done.refused).map(
      ([member, why]) => `  ${member}: the certificate of before is refused (${why})`,
    );
    return [
      `the CAs of etcd are new on ${done.members.join(', ')} and with ${done.tenants.join(', ') || 'no tenant'}`,
      ...refusals,
    ].join('\n');
  });
}

/** There is none to replace: what somebody else gave is taken away, and that nobody gets in by one is tried. */
async function rotateSuperuser(
  { session, terminal, signal }: Context,
  tenant: string,
  { dryRun }: RotateFlags,
): Promise<void> {
  if (dryRun) {
    return withCluster(session, tenant, async (open) =>
      showDryRun(terminal, planOf(open, await gatherCluster(session, open))),
    );
  }
  await withTenantLock(session, tenant, `rotate ${tenant} superuser`, signal, async (lock, held) => {
    const open = await openCluster(session, tenant);
    try {
      if (open.record.phase !== 'ready') {
        throw new PgsError('endangers', {
          doing: `looking at the superuser of ${tenant}`,
          found: `it is ${open.record.phase}`,
          hint: `See \`pgs cluster status ${tenant}\`.`,
        });
      }
      const plan = await applyCluster(session, open, lock, { signal: held, onEvent: reportSteps(terminal) });
      const proofs = await proveNoSuperuser(session, open);
      await showChange(terminal, plan, { proofs }, () =>
        [
          `${tenant}: there is no superuser password to replace. postgres logs in through the local socket of a member, as the OS user`,
          `  ${open.cluster.osUser}, and its role has no password. Over the network, really tried:`,
          ...proofs.map(({ where, said }) => `  ${where.padEnd(12)} refused (${said})`),
        ].join('\n'),
      );
    } finally {
      open.patroni.close();
    }
  });
}
