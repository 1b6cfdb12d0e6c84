// Several hosts at once: what fails on one is told, and stops no other.

import { expect, it } from 'vitest';
import { PgsError, PgsErrors } from '../../../src/errors.js';
import { checkHosts } from '../../../src/host/check-hosts.js';
import type { Command, HostAccess } from '../../../src/host/command.js';
import { prepareHosts } from '../../../src/host/prepare.js';
import { inventory, recordedAnswer } from './host-cases.js';

/** A host whose answers are given by what the command is; everything that is run is kept. */
function hostThat(name: string, answer: (command: Command) => string): HostAccess & { ran: Command[] } {
  const ran: Command[] = [];
  return {
    name,
    ran,
    run: async (command) => {
      ran.push(command);
      return Promise.resolve({ code: 0, stdout: answer(command), stderr: '' });
    },
    close: () => Promise.resolve(),
  };
}

const down = (name: string): HostAccess => ({
  name,
  run: () => Promise.reject(new PgsError('unreachable', { doing: 'connecting by ssh', host: name, found: 'no route' })),
  close: () => Promise.resolve(),
});

const isCheck = ({ argv }: Command) => argv[2]?.includes('@release') ?? false;
const taken = (name: string) =>
  hostThat(name, (command) => (isCheck(command) ? recordedAnswer('trixie-taken') : bareAnswer(command)));

/** What `gather.sh` prints where nothing of what was asked for is there. */
function bareAnswer({ stdin = '' }: Command): string {
  const words = String(stdin)
    .trim()
    .split('\n')
    .map((line) => line.split(' '));
  const paths = words.filter(([kind]) => kind === 'path' || kind === 'public').map(([, path]) => path);
  const units = words.filter(([kind]) => kind === 'unit').map(([, unit]) => unit);
  return [
    '@users',
    '@paths',
    ...paths.map((path) => `find: '${path}': No such file or directory`),
    '@hashes',
    '@contents',
    `@units ${units.join(' ')}`,
    ...units.flatMap((unit) => [`Id=${unit}`, 'LoadState=not-found', 'ActiveState=inactive', 'UnitFileState=', '']),
    '@listening',
    '@machine',
    '2',
    '4194304',
    '@end',
    '',
  ].join('\n');
}

function poolOf(...hosts: HostAccess[]) {
  return { get: (name: string) => hosts.find((host) => host.name === name)! };
}

it('tells of every host that failed, by name', async () => {
  const error = await prepareHosts(poolOf(down('h1'), taken('h2')), inventory, ['h1', 'h2'], { mode: 'apply' }).catch(
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(PgsErrors);
  expect((error as PgsErrors).errors.map(({ code, details }) => `${details.host} ${code}`)).toEqual([
    'h1 unreachable',
    'h2 unfit',
  ]);
});

it('changes nothing in a dry run, and nothing on a host that is somebody’s', async () => {
  const bare = hostThat('h1', (command) => (isCheck(command) ? recordedAnswer('trixie-bare') : bareAnswer(command)));
  const [outcome] = await prepareHosts(poolOf(bare), inventory, ['h1'], { mode: 'dry-run' });
  expect(outcome).toMatchObject({ host: 'h1', outcome: 'planned' });
  expect(bare.ran).toHaveLength(2);

  const foreign = taken('h2');
  await expect(prepareHosts(poolOf(foreign), inventory, ['h2'], { mode: 'apply' })).rejects.toThrow(/somebody's/);
  expect(foreign.ran).toHaveLength(2);
});

it('applies the steps in order and says so when the host does not stay as it was made', async () => {
  const stubborn = hostThat('h1', (command) => {
    if (isCheck(command)) return recordedAnswer('trixie-bare');
    return command.argv[2]?.includes('@hashes') ? bareAnswer(command) : '';
  });
  const events: string[] = [];
  const run = prepareHosts(poolOf(stubborn), inventory, ['h1'], {
    mode: 'apply',
    onEvent: (event) => events.push(`${event.kind} ${event.step.title}`),
  });
  await expect(run).rejects.toThrow(/every step went well, and yet there is something to do/);
  expect(events.filter((event) => event.startsWith('done'))).toEqual([
    'done write the files of prepare',
    'done restart systemd-journald.service',
    'done install 9 packages',
  ]);
});

it('checks the hosts that answer although others do not', async () => {
  const [first, second] = await checkHosts(poolOf(down('h1'), taken('h2')), inventory, ['h1', 'h2']);
  expect(first).toMatchObject({ host: 'h1', fit: false });
  expect(first!.items[0]).toMatchObject({ item: 'ssh', verdict: 'unfit', found: 'no route' });
  expect(second).toMatchObject({ host: 'h2', fit: false });
  expect(second!.items.find(({ item }) => item === 'units')).toMatchObject({ verdict: 'unfit' });
});
