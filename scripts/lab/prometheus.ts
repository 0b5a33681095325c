import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Daemon } from './daemon.ts';
import { get } from './http.ts';
import type { Namespace } from './network.ts';
import { toolPath } from './tools.ts';

export interface PrometheusOptions {
  readonly namespace: Namespace;
  readonly directory: string;
  readonly logFile: string;
  /** Of each job the targets, as host:port, by the name of the instance. */
  readonly jobs: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/** One series at one moment: https://prometheus.io/docs/prometheus/latest/querying/api/#instant-vectors */
export interface Series {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

interface QueryAnswer {
  readonly data: { readonly result: readonly { metric: Record<string, string>; value: [number, string] }[] };
}

const PORT = 9090;

/** A Prometheus that asks its targets every second. */
export class Prometheus implements AsyncDisposable {
  readonly #daemon: Daemon;
  readonly #namespace: Namespace;

  private constructor(daemon: Daemon, namespace: Namespace) {
    this.#daemon = daemon;
    this.#namespace = namespace;
  }

  /** Settles when it has asked every target, and each has answered. */
  static async start({ namespace, directory, logFile, jobs }: PrometheusOptions): Promise<Prometheus> {
    await mkdir(directory, { recursive: true });
    const config = join(directory, 'prometheus.json');
    await writeFile(
      config,
      JSON.stringify({
        global: { scrape_interval: '1s', scrape_timeout: '1s' },
        scrape_configs: Object.entries(jobs).map(([job, targets]) => ({
          job_name: job,
          static_configs: Object.entries(targets).map(([instance, target]) => ({
            targets: [target],
            labels: { instance },
          })),
        })),
      }),
    );
    const options = [`--storage.tsdb.path=${join(directory, 'data')}`, `--web.listen-address=127.0.0.1:${PORT}`];
    const argv = namespace.command([toolPath('prometheus'), `--config.file=${config}`, ...options]);
    const prometheus = new Prometheus(await Daemon.start({ argv, logFile }), namespace);
    const targets = Object.values(jobs).flatMap((each) => Object.keys(each)).length;
    try {
      const up = async (): Promise<boolean> => (await prometheus.query('sum(up)'))[0]?.value === targets;
      await prometheus.#daemon.until('asking its targets', up);
    } catch (error) {
      await prometheus[Symbol.asyncDispose]();
      throw error;
    }
    return prometheus;
  }

  /** What PromQL says now. @throws what Prometheus says about a wrong query */
  async query(expr: string): Promise<Series[]> {
    const url = `http://127.0.0.1:${PORT}/api/v1/query?query=${encodeURIComponent(expr)}`;
    const { status, body } = await get(this.#namespace, url);
    if (status !== 200) throw new Error(`${expr}: ${body}`);
    const { data } = JSON.parse(body) as QueryAnswer;
    return data.result.map(({ metric, value: [, text] }) => ({ labels: metric, value: numberOf(text) }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#daemon[Symbol.asyncDispose]();
  }
}

/** `+Inf` and `-Inf` are how Prometheus writes what Node writes in full. */
function numberOf(text: string): number {
  return Number(text.replace(/Inf$/, 'Infinity'));
}
