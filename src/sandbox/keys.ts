// ssh keys of a sandbox: the operator's, and one for each machine. pgs makes them all, so that host keys are verified
// from the first connection on.

import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { runLocalChecked } from './local.js';

export interface KeyPair {
  private: string;
  public: string;
}

/** An ed25519 key pair without a passphrase, written to `path` and `path.pub` unless it is there. */
export async function ensureKeyPair(path: string, comment: string): Promise<KeyPair> {
  if (!existsSync(path) || !existsSync(`${path}.pub`)) {
    await mkdir(dirname(path), { recursive: true, mode: 0o711 });
    const staging = await mkdtemp(join(dirname(path), '.key-'));
    const made = join(staging, 'key');
    const argv = ['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', comment, '-f', made];
    await runLocalChecked('making an ssh key', argv, { timeoutMs: 20_000 });
    // The public half goes last: it says that the pair is whole.
    await runLocalChecked('storing an ssh key', ['mv', '-f', made, path], { timeoutMs: 5_000 });
    await runLocalChecked('storing an ssh key', ['mv', '-f', `${made}.pub`, `${path}.pub`], { timeoutMs: 5_000 });
    await rm(staging, { recursive: true, force: true });
  }
  return { private: await readFile(path, 'utf8'), public: await readFile(`${path}.pub`, 'utf8') };
}
