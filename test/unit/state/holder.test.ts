import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { holderIsGone, identifyProcess, localProcesses, type ProcessTable } from '../../../src/state/holder.js';

/** @param hidden - a process that is there and that /proc does not show */
const table = (bootId: string | null, processes: Record<number, string>, hidden?: number): ProcessTable => ({
  bootId: () => bootId,
  startOf: (pid) => processes[pid] ?? null,
  exists: (pid) => pid in processes || pid === hidden,
});
const holder = { pid: 7, pidStart: '100', bootId: 'b1' };

describe('holderIsGone', () => {
  it.each<[string, boolean, ProcessTable, Partial<typeof holder>]>([
    ['a process that lives', false, table('b1', { 7: '100' }), {}],
    ['a process that ended', true, table('b1', {}), {}],
    ["another user's process that is hidden from this one", false, table('b1', {}, 7), {}],
    ['a process whose id another one has now', true, table('b1', { 7: '999' }), {}],
    ['a process of another boot or machine', false, table('b2', {}), {}],
    ['a system that tells nothing about boots', false, table(null, {}), {}],
  ])('%s: %s', (_, gone, processes, change) => {
    expect(holderIsGone({ ...holder, ...change }, processes)).toBe(gone);
  });

  it('is false where the holder did not know its own start', () => {
    expect(holderIsGone({ ...holder, pidStart: null }, table('b1', {}))).toBe(false);
  });

  it('knows a real process that lives, and that it ended', async () => {
    const child = spawn('sleep', ['60']);
    await once(child, 'spawn');
    const it = { pid: child.pid!, pidStart: localProcesses.startOf(child.pid!), bootId: localProcesses.bootId() };
    expect(it.pidStart).toMatch(/^\d+$/);
    expect(holderIsGone(it)).toBe(false);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(holderIsGone(it)).toBe(true);
  });

  it('knows itself', () => {
    expect(holderIsGone(identifyProcess())).toBe(false);
  });
});
