// From the samples of a run to its numbers and its table. Pure.

export const measures = [
  'by hand, in turn',
  'by hand, together',
  'create',
  'five creates',
  'no-op apply',
  'status',
  'help',
] as const;
export type Measure = (typeof measures)[number];

export interface Sample {
  measure: Measure;
  round: number;
  ms: number;
  /** Of the whole machine. */
  cpuS: number;
  /** End of each step of a create, seconds from its first plan, in the order in which they ended. */
  steps?: { title: string; atS: number }[];
}

export interface Machine {
  cores: number;
  memoryGiB: number;
  kernel: string;
  /** 1 minute, when the run began: more than a fraction of a core means that others were at work. */
  load: number;
}

export interface Run {
  at: string;
  commit: string;
  rounds: number;
  machine: Machine;
  versions: Record<string, string>;
  samples: Sample[];
  /** What a no-op apply changed on hosts and in etcd, over all rounds; empty when the promise holds. */
  noopChanges: string[];
}

export interface Row {
  name: string;
  n: number;
  median: number;
  max: number;
  unit: 'ms' | 's' | 'ratio';
  target: number | null;
}

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Targets are those of the issue that asked for the benchmark; a ratio is one of medians, and its worst is max to median. */
export function rows(samples: Sample[]): Row[] {
  const of = (measure: Measure) => samples.filter((s) => s.measure === measure).map((s) => s.ms);
  const row = (measure: Measure, unit: 'ms' | 's', target: number | null): Row[] => {
    const values = of(measure).map((ms) => (unit === 's' ? ms / 1000 : ms));
    if (values.length === 0) return [];
    return [{ name: measure, n: values.length, median: median(values), max: Math.max(...values), unit, target }];
  };
  const ratio = (above: Measure, below: Measure, target: number): Row[] => {
    const [a, b] = [of(above), of(below)];
    if (a.length === 0 || b.length === 0) return [];
    const [n, base] = [Math.min(a.length, b.length), median(b)];
    const values = { median: median(a) / base, max: Math.max(...a) / base };
    return [{ name: `${above} / ${below}`, n, ...values, unit: 'ratio', target }];
  };
  return [
    ...row('by hand, in turn', 's', null),
    ...row('by hand, together', 's', null),
    ...row('create', 's', null),
    ...ratio('create', 'by hand, in turn', 0.3),
    ...ratio('create', 'by hand, together', 0.3),
    ...row('five creates', 's', null),
    ...ratio('five creates', 'create', 2.5),
    ...row('no-op apply', 's', 3),
    ...row('status', 's', 1.5),
    ...row('help', 'ms', 250),
  ];
}

/** Whether the median is within the target; without a target there is nothing to meet. */
export function isMet({ median, target }: Row): boolean {
  return target === null || median <= target;
}

export function renderMarkdown(run: Run): string {
  const { machine, versions } = run;
  const lines = [
    `# Benchmark of ${run.at.slice(0, 16).replace('T', ' ')} UTC`,
    '',
    `Commit ${run.commit}, ${run.rounds} rounds. ${machine.cores} cores, ${machine.memoryGiB} GiB, Linux ${machine.kernel}, load ${machine.load} at the start.`,
    `${Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(', ')}.`,
    '',
    '| what | n | median | max | target | |',
    '|---|---|---|---|---|---|',
    ...rows(run.samples).map((row) => {
      const verdict = row.target === null ? '' : isMet(row) ? 'met' : 'MISSED';
      const target = row.target === null ? '' : `≤ ${print(row.target, row.unit)}`;
      return `| ${row.name} | ${row.n} | ${print(row.median, row.unit)} | ${print(row.max, row.unit)} | ${target} | ${verdict} |`;
    }),
    '',
    run.noopChanges.length === 0
      ? 'A no-op apply wrote nothing under /pgs in etcd and restarted, reloaded or started nothing (its own lock and what Patroni writes by itself left out).'
      : `A NO-OP APPLY CHANGED SOMETHING:\n${run.noopChanges.map((change) => `- ${change}`).join('\n')}`,
    '',
    ...renderCpu(run.samples),
    '',
    ...renderSteps(run.samples),
  ];
  return `${lines.join('\n').trimEnd()}\n`;
}

function print(value: number, unit: Row['unit']): string {
  if (unit === 'ratio') return value.toFixed(2);
  return unit === 's' ? `${value.toFixed(1)} s` : `${Math.round(value)} ms`;
}

function renderCpu(samples: Sample[]): string[] {
  const used = measures.flatMap((measure) => {
    const values = samples.filter((s) => s.measure === measure).map((s) => s.cpuS);
    return values.length > 0 ? [`${measure} ${median(values).toFixed(1)}`] : [];
  });
  return [`CPU seconds of the whole machine, median: ${used.join(', ')}.`];
}

function renderSteps(samples: Sample[]): string[] {
  const ends = stepEnds(samples.filter((s) => s.measure === 'create'));
  if (ends.length === 0) return [];
  return [
    'Where the time of one create goes (when the last of its kind had ended, median):',
    '',
    '| seconds | step |',
    '|---|---|',
    ...ends.map(({ title, atS }) => `| ${atS.toFixed(1)} | ${title} |`),
  ];
}

/** Per kind of step when the last of them ended, median over the samples, in the order of time. */
export function stepEnds(creates: Sample[]): { title: string; atS: number }[] {
  const titles = [...new Set(creates.flatMap((s) => s.steps ?? []).map((step) => step.title))];
  const ends = titles.map((title) => {
    const last = creates.flatMap(({ steps = [] }) => {
      const own = steps.filter((step) => step.title === title).map((step) => step.atS);
      return own.length > 0 ? [Math.max(...own)] : [];
    });
    return { title, atS: median(last) };
  });
  return ends.sort((a, b) => a.atS - b.atS);
}

/** The lines of progress of a create, such as `  3.6s ✓ h1       write the files of bench1`; the tenant's name is taken out. */
export function parseSteps(stderr: string, tenant: string): { title: string; atS: number }[] {
  return stderr.split('\n').flatMap((line) => {
    const match = /^\s*([\d.]+)s ✓ \S+\s+(.+)$/.exec(line);
    if (!match) return [];
    return [{ atS: Number(match[1]), title: match[2]!.replaceAll(tenant, 'the tenant') }];
  });
}
