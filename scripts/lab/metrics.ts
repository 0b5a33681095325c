/** One scrape of a Prometheus endpoint: https://prometheus.io/docs/instrumenting/exposition_formats/ */
export class Metrics {
  readonly #samples: readonly Sample[];

  constructor(text: string) {
    this.#samples = text.split('\n').flatMap(parseSample);
  }

  /** Sum of all samples of a metric that carry these labels; 0 when there is none. */
  sum(name: string, labels: Readonly<Record<string, string>> = {}): number {
    return this.#samples
      .filter((sample) => sample.name === name)
      .filter((sample) => Object.entries(labels).every(([key, value]) => sample.labels.get(key) === value))
      .reduce((total, sample) => total + sample.value, 0);
  }
}

interface Sample {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly value: number;
}

function parseSample(line: string): Sample[] {
  const match = /^(?<name>[a-zA-Z_:][\w:]*)(?:\{(?<labels>.*)\})? (?<value>\S+)/.exec(line);
  if (!match?.groups) return [];
  const labels = new Map<string, string>();
  for (const [, key = '', value = ''] of (match.groups['labels'] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
    labels.set(key, value);
  }
  return [{ name: match.groups['name'] ?? '', labels, value: Number(match.groups['value']) }];
}
