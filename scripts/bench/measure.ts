/** What a result has to be. */
export type Goal = { readonly atLeast: number } | { readonly atMost: number };

/** One line of the table: circ beside something else, measured in the same run. */
export interface Row {
  readonly measurement: string;
  /** Of the two figures. */
  readonly unit: string;
  /** Medians. */
  readonly circ: number;
  readonly peer: number;
  readonly peerName: string;
  /** What the goal is about: of each run, circ's figure over the peer's, or less the peer's; the median of these. */
  readonly result: number;
  /** Of the result: `x` for a ratio. */
  readonly resultUnit: string;
  readonly goal: Goal;
  /** Everything that was measured, in order. */
  readonly samples: { readonly circ: readonly number[]; readonly peer: readonly number[] };
}

/** What all benches are given. */
export interface BenchOptions {
  /** How often each side is measured. */
  readonly runs: number;
  /** Of a large blob; other sizes are derived from it. */
  readonly sizeBytes: number;
  /** Where the programs under test leave `--cpu-prof` files, if they are to. */
  readonly cpuProfiles?: string;
  /** One line of progress. */
  readonly say: (line: string) => void;
}

/** A group of measurements that share what they start. */
export interface Bench {
  readonly purpose: string;
  run(options: BenchOptions): Promise<Row[]>;
}

/** Measures one side once. */
export type Side = () => Promise<number>;

/** Measures all sides in turn, again and again, so that what else the machine does hits all of them. */
export async function interleave<Name extends string>(
  sides: Readonly<Record<Name, Side>>,
  { runs, say }: Pick<BenchOptions, 'runs' | 'say'>,
): Promise<Record<Name, number[]>> {
  const names = Object.keys(sides) as Name[];
  const samples = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<Name, number[]>;
  for (let at = 1; at <= runs; at += 1) {
    for (const name of names) samples[name].push(await sides[name]());
    say(`run ${at}/${runs}: ${names.map((name) => `${name} ${formatNumber(samples[name].at(-1) ?? NaN)}`).join(', ')}`);
  }
  return samples;
}

/** A row from samples taken in turn. */
export function compare(
  about: Pick<Row, 'measurement' | 'unit' | 'peerName' | 'goal'>,
  by: 'ratio' | 'difference',
  samples: Row['samples'],
): Row {
  const results = samples.circ.map((circ, at) => {
    const peer = samples.peer[at] ?? NaN;
    return by === 'ratio' ? circ / peer : circ - peer;
  });
  return {
    ...about,
    circ: median(samples.circ),
    peer: median(samples.peer),
    result: median(results),
    resultUnit: by === 'ratio' ? 'x' : about.unit,
    samples,
  };
}

export function isMet({ goal, result }: Pick<Row, 'goal' | 'result'>): boolean {
  return 'atLeast' in goal ? result >= goal.atLeast : result <= goal.atMost;
}

/** The middle one; of an even number, the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] ?? NaN) + (sorted[Math.ceil(middle)] ?? NaN)) / 2;
}

/** Three digits that count. */
export function formatNumber(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}
