// `pgs watchdog`: whether an old leader is stopped in time, and the proof.

import { Command } from 'commander';
import type { VerifyOptions } from '../watchdog/verify.js';

export function watchdogCommand(): Command {
  return new Command('watchdog')
    .description('fencing: whether an old leader that hangs is stopped before another one leads, and the proof')
    .addCommand(statusCommand())
    .addCommand(verifyCommand());
}

function statusCommand(): Command {
  return new Command('status')
    .description('what fences each member, whether it is armed and who holds it (exit code 1 unless all are fenced)')
    .argument('[tenant]', 'name of the cluster; may be left out when there is one, or after `pgs use`')
    .addHelpText(
      'after',
      '\nExamples:\n  $ pgs watchdog status acme\n  $ pgs watchdog status -o json | jq .members[].verdict',
    )
    .action(async (tenant: string | undefined, _options: unknown, command: Command) => {
      const { status } = await import('../watchdog/status.js');
      await status(tenant, command);
    });
}

function verifyCommand(): Command {
  return new Command('verify')
    .description("stop the leader's Patroni and watch its watchdog kill it in time (exit code 1 when it does not)")
    .argument('[tenant]', 'name of the cluster; may be left out when there is one, or after `pgs use`')
    .requiredOption('--member <name>', 'the leader, such as acme-1')
    .option(
      '--i-accept-a-reset',
      'the machine may be reset, with every tenant on it; not asked for in a sandbox',
      false,
    )
    .addHelpText(
      'after',
      '\nWrites stop until another member leads, as at any failover.\n\nExamples:\n  $ pgs watchdog verify acme --member acme-1\n  $ pgs watchdog verify acme --member acme-1 --i-accept-a-reset -o json',
    )
    .action(async (tenant: string | undefined, options: VerifyOptions, command: Command) => {
      const { verify } = await import('../watchdog/verify.js');
      await verify(tenant, options, command);
    });
}
