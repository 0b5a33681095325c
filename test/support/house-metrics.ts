/** One scrape of a /metrics endpoint: https://prometheus.io/docs/instrumenting/exposition_formats/ */
export class Scrape {
  readonly #samples: { name: string; labels: string; value: number }[];

  constructor(text: string) {
    this.#samples = text.split('\n').flatMap((line) => {
      const { name, labels = '', value } = /^(?<name>\w+)(?:\{(?<labels>.*)\})? (?<value>\S+)/.exec(line)?.groups ?? {};
      return name === undefined ? [] : [{ name, labels, value: Number(value) }];
    });
  }

  /** Sum of a metric's samples that carry these labels; 0 if there is none. */
  sum(name: string, labels: Readonly<Record<string, string>> = {}): number {
    return this.#samples
      .filter((sample) => sample.name === name)
      .filter((sample) => Object.entries(labels).every(([key, value]) => sample.labels.includes(`${key}="${value}"`)))
      .reduce((total, { value }) => total + value, 0);
  }
}

/** Reads /metrics of a status listener. */
export async function scrape(host: string): Promise<Scrape> {
  const response = await fetch(`http://${host}/metrics`);
  if (response.status !== 200) throw new Error(`/metrics answered ${response.status}`);
  return new Scrape(await response.text());
}
