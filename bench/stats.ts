/** Percentiles and the table that the benchmarks print. */

export interface Figure {
  readonly name: string;
  readonly samples: number;
  readonly p50: number;
  readonly p99: number;
  readonly unit: string;
  /** What it is measured against, in the same run: by how much this p50 is better than the peer's (above 1: this is faster). */
  readonly peers: Readonly<Record<string, number>>;
  readonly promise?: string;
  readonly kept?: boolean;
}

export function percentile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

/** Times `work` `count` times, one after the other, after `warmUp` unmeasured rounds. Milliseconds. */
export async function timeEach(count: number, work: () => Promise<unknown>, warmUp = 3): Promise<number[]> {
  for (let round = 0; round < warmUp; round += 1) await work();
  const samples: number[] = [];
  for (let round = 0; round < count; round += 1) {
    const from = performance.now();
    await work();
    samples.push(performance.now() - from);
  }
  return samples;
}

export interface FigureOptions {
  readonly peers?: Readonly<Record<string, readonly number[]>>;
  readonly unit?: string;
  readonly promise?: string;
  readonly keeps?: (p50: number, p99: number, peers: Readonly<Record<string, number>>) => boolean;
}

export function figure(name: string, samples: readonly number[], options: FigureOptions = {}): Figure {
  const p50 = percentile(samples, 0.5);
  const p99 = percentile(samples, 0.99);
  const unit = options.unit ?? 'ms';
  const better = (theirs: number): number => (unit === 'MiB/s' ? p50 / theirs : theirs / p50);
  const peers = Object.fromEntries(
    Object.entries(options.peers ?? {}).map(([peer, theirs]) => [peer, better(percentile(theirs, 0.5))]),
  );
  return {
    name,
    samples: samples.length,
    p50,
    p99,
    unit,
    peers,
    ...(options.promise === undefined ? {} : { promise: options.promise }),
    ...(options.keeps === undefined ? {} : { kept: options.keeps(p50, p99, peers) }),
  };
}

export function printTable(figures: readonly Figure[]): void {
  for (const { name, samples, p50, p99, unit, peers, promise, kept } of figures) {
    const ratios = Object.entries(peers)
      .map(([peer, ratio]) => `${ratio.toFixed(2)}× ${peer}`)
      .join(', ');
    const verdict = kept === undefined ? '' : kept ? ' kept' : ' NOT KEPT';
    console.log(
      `${name.padEnd(44)} n=${String(samples).padStart(3)}  p50 ${digits(p50)} ${unit}  p99 ${digits(p99)} ${unit}` +
        `${ratios === '' ? '' : `  ${ratios}`}${promise === undefined ? '' : `  [${promise}:${verdict}]`}`,
    );
  }
}

function digits(value: number): string {
  return value.toFixed(Math.abs(value) < 10 ? 2 : 1).padStart(8);
}
