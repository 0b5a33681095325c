import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Registry } from 'prom-client';
import { pino } from 'pino';
import { hostsEvents } from '../../../agent/hosts/hosts-events.ts';
import { HostsKeeper, type HostsKeeperOptions } from '../../../agent/hosts/hosts-keeper.ts';
import type { Mirror } from '../../../agent/hosts/mirror.ts';
import { Scrape } from '../../support/house-metrics.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

export const MIRROR: Mirror = { url: 'http://127.0.0.1:5050' };
export const TABLE = `[host."${MIRROR.url}"]\n  capabilities = ["pull", "resolve"]\n  dial_timeout = "5s"\n`;

/** A certs.d directory, and agents' keepers of it. */
export class CertsDir implements AsyncDisposable {
  readonly path: string;
  /** What keepers logged, one object a line. */
  readonly log: Record<string, unknown>[] = [];
  readonly logger = pino({ level: 'debug' }, { write: (line) => this.log.push(JSON.parse(line) as never) });
  #metrics = new Registry();
  readonly #remove: () => PromiseLike<void>;
  readonly #keepers = new AsyncDisposableStack();

  constructor(path: string, remove: () => PromiseLike<void>) {
    this.path = path;
    this.#remove = remove;
  }

  /** Writes a file, with the directories above it. */
  async write(name: string, content: string | Buffer): Promise<string> {
    const path = join(this.path, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
    return path;
  }

  /** A file's text; undefined if there is none. */
  async read(name: string): Promise<string | undefined> {
    return await readFile(join(this.path, name), 'utf8').catch(() => undefined);
  }

  /** Starts a keeper, which is quick to look at changes and ends with the directory. */
  async keep(options: Partial<HostsKeeperOptions> = {}): Promise<HostsKeeper> {
    const mirror = options.mirror ?? MIRROR;
    const metrics = new Registry();
    if (mirror === MIRROR) this.#metrics = metrics;
    const events = hostsEvents(this.logger, metrics, mirror);
    const keeper = HostsKeeper.start({ directory: this.path, mirror, events, quietMs: 20, ...options });
    return this.#keepers.use(await keeper);
  }

  /** Log lines with this message. */
  lines(message: RegExp): Record<string, unknown>[] {
    return this.log.filter(({ msg }) => message.test(String(msg)));
  }

  /** Metrics of the last keeper of `MIRROR`. */
  async metrics(): Promise<Scrape> {
    return new Scrape(await this.#metrics.metrics());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#keepers[Symbol.asyncDispose]();
    await this.#remove();
  }
}

/** An empty directory below one of the test's own: `await using certs = await certsDir()`. */
export async function certsDir(): Promise<CertsDir> {
  const directory = await tmpDir();
  const path = join(directory.path, 'certs.d');
  await mkdir(path);
  return new CertsDir(path, () => directory[Symbol.asyncDispose]());
}

/** Root may write everywhere: be somebody else for a while. */
export function withoutPrivileges(): Disposable {
  if (process.getuid?.() !== 0) return { [Symbol.dispose]: () => undefined };
  process.seteuid?.(65_534);
  return { [Symbol.dispose]: () => process.seteuid?.(0) };
}
