// `pgs host trust`: shows fingerprints, asks, and writes the fleet's known_hosts.

import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import { PgsError } from '../../errors.js';
import { trustHosts, type TrustProposal } from '../../host/trust.js';
import { openFleet } from './fleet.js';

const outcomes = {
  'already-trusted': 'known already',
  added: 'trusted',
  replaced: 'trusted with its new key',
  declined: 'not trusted',
};

export async function trust(
  asked: string[],
  options: { replace: boolean; yes: boolean },
  command: Command,
): Promise<void> {
  const { inventory, names, terminal } = await openFleet(command, asked);
  const confirm = (proposal: TrustProposal) => confirmKey(proposal, options.yes);
  const done = await trustHosts(inventory, names, { confirm, replace: options.replace });
  await terminal.result({ hosts: done }, () =>
    done.map(({ host, outcome }) => `${host.padEnd(8)} ${outcomes[outcome]}`).join('\n'),
  );
  if (done.some(({ outcome }) => outcome === 'declined')) process.exitCode = 1;
}

/** Shows the key, and asks unless that was answered before. */
export async function confirmKey(proposal: TrustProposal, yes: boolean): Promise<boolean> {
  process.stderr.write(`${describeProposal(proposal)}\n`);
  return yes || ask(`Is this ${proposal.name}? Type yes: `);
}

function describeProposal({ name, address, port, keys, replaces }: TrustProposal): string {
  return [
    `${name} at ${address} port ${port} shows`,
    ...keys.map(({ type, fingerprint }) => `  ${type.padEnd(20)} ${fingerprint}`),
    ...replaces.map((fingerprint) => `  instead of           ${fingerprint}`),
    `Compare on the machine itself: for f in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $f; done`,
  ].join('\n');
}

async function ask(question: string): Promise<boolean> {
  if (!process.stdin.isTTY) {
    throw new PgsError('usage', {
      doing: 'asking whether to trust a host',
      found: 'there is no terminal to ask at',
      hint: 'Compare the fingerprints above and run the command again with --yes.',
    });
  }
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return (await prompt.question(question)).trim().toLowerCase() === 'yes';
  } finally {
    prompt.close();
  }
}
