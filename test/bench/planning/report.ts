// From what a run of the planning benchmark measured to its table. Pure.

import type { Machine } from '../report.js';

export interface PlanningSample {
  name: string;
  wallS: number;
  /** Of this process: what it would take on a core of its own. */
  cpuS: number;
  found: string;
}

export interface PlanningRun {
  at: string;
  commit: string;
  machine: Machine & { node: string };
  tenants: number;
  hosts: number;
  samples: PlanningSample[];
  peakRssMB: number;
}

/** Of each measure, seconds on a core, and of the whole process. */
export const secondsMax = 5;
export const rssMBMax = 500;

export function isMet({ samples, peakRssMB }: Pick<PlanningRun, 'samples' | 'peakRssMB'>): boolean {
  return samples.every(({ cpuS }) => cpuS <= secondsMax) && peakRssMB <= rssMBMax;
}

export function renderMarkdown(run: PlanningRun): string {
  const { machine, samples, peakRssMB } = run;
  const verdict = (met: boolean) => (met ? 'met' : 'MISSED');
  return [
    `# Planning for ${run.tenants} tenants on ${run.hosts} hosts, ${run.at.slice(0, 16).replace('T', ' ')} UTC`,
    '',
    `Commit ${run.commit}. ${machine.cores} cores, ${machine.memoryGiB} GiB, Linux ${machine.kernel}, Node ${machine.node}, load ${machine.load} at the start.`,
    'CPU is what the process used, wall what passed while other work shared the machine.',
    '',
    '| what | CPU | wall | target | | |',
    '|---|---|---|---|---|---|',
    ...samples.map(
      ({ name, cpuS, wallS, found }) =>
        `| ${name} | ${cpuS.toFixed(2)} s | ${wallS.toFixed(2)} s | ≤ ${secondsMax} s CPU | ${verdict(cpuS <= secondsMax)} | ${found} |`,
    ),
    `| peak memory of the process (RSS) | ${peakRssMB.toFixed(0)} MB | | ≤ ${rssMBMax} MB | ${verdict(peakRssMB <= rssMBMax)} | |`,
    '',
  ].join('\n');
}
