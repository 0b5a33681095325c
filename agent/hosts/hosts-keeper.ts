import { isUtf8 } from 'node:buffer';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DirectoryWatch } from './directory-watch.ts';
import { install } from './edit.ts';
import { codeOf } from './file-errors.ts';
import type { HostsEvents, HostsState } from './hosts-events.ts';
import {
  DEFAULT_REGISTRY,
  type HostsFile,
  certificateLines,
  listRegistries,
  makeDirectory,
  readHostsFile,
  writeHostsFile,
} from './hosts-file.ts';
import { certificatePath, publishCertificate } from './mirror-certificate.ts';
import type { Mirror } from './mirror.ts';
import { removeLeftovers } from './replace-file.ts';

export interface HostsKeeperOptions {
  /** containerd's `config_path`. */
  readonly directory: string;
  readonly mirror: Mirror;
  /** With https: the agent's certificate as it is now, PEM. */
  readonly certificate?: () => Buffer;
  readonly events: HostsEvents;
  /** A change is looked at when nothing has changed for so long: whoever writes must have finished. */
  readonly quietMs?: number;
  /** Everything is looked at so often, whatever the file system tells. */
  readonly pollMs?: number;
}

const QUIET_MS = 500;
const POLL_MS = 60_000;
/** A file that is changed back so often within that time is somebody else's, for a while. */
const MAX_MENDS = 5;
const MENDS_MS = 10 * 60_000;
const LEAVE_ALONE_MS = 30 * 60_000;
const LEFTOVER_MS = 60_000;
/** How often the start waits for files that are being written. */
const MAX_WAITS = 3;

interface Known {
  readonly state: HostsState;
  readonly reason?: string;
  /** When it was mended, by `performance.now`. */
  readonly mendedAt: readonly number[];
  /** Contested: until when it is left alone. */
  readonly resumeAt?: number;
}

/** Keeps our mirror first in all hosts.toml files of a directory, and notices when others change them. */
export class HostsKeeper implements AsyncDisposable {
  readonly #options: HostsKeeperOptions;
  readonly #quietMs: number;
  readonly #watch: DirectoryWatch;
  /** Only what the directory holds: forgotten with the file's directory. */
  #files = new Map<string, Known>();
  /** What the last look found: names of directories, with how many directories had to be made for each. */
  #registries = new Map<string, number>();
  #failures: { path: string; error: unknown }[] = [];
  /** Files that somebody was writing at the last look. */
  #unsettled = 0;

  private constructor(options: HostsKeeperOptions) {
    const { quietMs = QUIET_MS, pollMs = POLL_MS } = options;
    this.#options = options;
    this.#quietMs = quietMs;
    this.#watch = new DirectoryWatch({ quietMs, pollMs, list: () => this.#list(), look: () => this.#look() });
  }

  /** The files are in order when the promise settles, as far as they can be; what fails is told, not thrown. */
  static async start(options: HostsKeeperOptions): Promise<HostsKeeper> {
    const keeper = new HostsKeeper(options);
    await keeper.#watch.lookNow();
    for (let tries = 0; keeper.#unsettled > 0 && tries < MAX_WAITS; tries += 1) {
      await sleep(keeper.#quietMs);
      await keeper.#watch.lookNow();
    }
    return keeper;
  }

  /** Looks at everything now: the certificate is another one. */
  async refresh(): Promise<void> {
    await this.#watch.lookNow();
  }

  /** Ends; the files stay as they are: nobody listening at a loopback address costs containerd nothing. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#watch[Symbol.asyncDispose]();
  }

  /** Finds the registries' directories, `_default` made if it is not there. @returns the directories to watch */
  async #list(): Promise<string[]> {
    const { directory } = this.#options;
    this.#registries = new Map();
    this.#failures = [];
    try {
      this.#registries.set(DEFAULT_REGISTRY, await makeDirectory(join(directory, DEFAULT_REGISTRY)));
    } catch (error) {
      this.#failures.push({ path: join(directory, DEFAULT_REGISTRY, 'hosts.toml'), error });
    }
    try {
      for (const registry of await listRegistries(directory)) this.#registries.set(registry, 0);
    } catch (error) {
      if (this.#failures.length === 0) this.#failures.push({ path: directory, error });
    }
    return [directory, ...this.#registries.keys().map((registry) => join(directory, registry))];
  }

  async #look(): Promise<void> {
    const { directory, events } = this.#options;
    const failures = this.#failures;
    const files = new Map<string, Known>();
    this.#unsettled = 0;
    const withoutCertificate = await this.#publish();
    for (const [registry, madeDirectories] of this.#registries) {
      const path = join(directory, registry, 'hosts.toml');
      const known = this.#files.get(path);
      try {
        if (withoutCertificate !== undefined) throw withoutCertificate;
        const now = await this.#tend(registry, madeDirectories, known);
        if (now) files.set(path, now);
      } catch (error) {
        // Removed while it was looked at: that is a change, and will be looked at.
        if (codeOf(error) === 'ENOENT') this.#watch.soon();
        else failures.push({ path, error });
        if (known) files.set(path, known);
      }
    }
    const untold = failures.filter(({ path }) => this.#files.get(path)?.state !== 'unwritable');
    if (untold.length > 0) events.unwritable(untold.map(({ path }) => path).slice(0, 10), untold[0]?.error);
    for (const { path } of failures) files.set(path, { state: 'unwritable', mendedAt: [] });
    this.#files = files;
    events.counted(count(files));
  }

  /**
   * Certificate first: a hosts.toml that names one which is not there makes pulls fail.
   *
   * @returns why there is none
   */
  async #publish(): Promise<unknown> {
    const { directory, mirror, certificate, events } = this.#options;
    if (!certificate) return undefined;
    const path = certificatePath(directory, mirror.url);
    try {
      await removeLeftovers(directory, LEFTOVER_MS);
      if ((await publishCertificate(directory, mirror.url, certificate())) === 'written') events.certified(path);
      return undefined;
    } catch (error) {
      // With an old one there pulls go straight to the registry, and do not fail.
      if (!(await isFile(path))) return error;
      this.#failures.push({ path, error });
      return undefined;
    }
  }

  /** Puts one file in order. @throws what the file system says */
  async #tend(registry: string, madeDirectories: number, known: Known | undefined): Promise<Known | undefined> {
    const { directory, mirror, events } = this.#options;
    const registryDirectory = join(directory, registry);
    if (!known) await removeLeftovers(registryDirectory, LEFTOVER_MS);
    const file = await readHostsFile(registryDirectory);
    const mendedAt = known?.mendedAt ?? [];
    if ('unusable' in file) return this.#left(file.path, file.unusable, ignored(registry), known);
    if (this.#isBeingWritten(file)) {
      this.#unsettled += 1;
      this.#watch.soon();
      return known;
    }
    const bytes = file.content?.bytes;
    if (bytes && !isUtf8(bytes)) return this.#left(file.path, 'it is not UTF-8', ignored(registry), known);

    const surroundings = { madeDirectories, certificateLines: await certificateLines(registryDirectory) };
    const plan = install(bytes?.toString(), mirror, surroundings);
    if (plan.kind === 'leave') {
      return this.#left(file.path, plan.reason, plan.isIgnoredByContainerd ? ignored(registry) : FOLLOWED, known);
    }
    if (plan.kind === 'keep') {
      if (plan.as === 'own-not-first' && known?.reason !== plan.as) events.notFirst(file.path);
      return { state: plan.as === 'ours' ? 'managed' : 'own', reason: plan.as, mendedAt };
    }
    return await this.#write(file, plan.text, known);
  }

  async #write(file: HostsFile, text: string, known: Known | undefined): Promise<Known | undefined> {
    const { events } = this.#options;
    const now = performance.now();
    if (known?.state === 'contested' && now < (known.resumeAt ?? 0)) return known;
    const isMend = known?.state === 'managed' || known?.state === 'contested';
    const mendedAt = (known?.mendedAt ?? []).filter((at) => now - at < MENDS_MS);
    if (known?.state === 'managed' && mendedAt.length >= MAX_MENDS) {
      events.contested(file.path, LEAVE_ALONE_MS);
      return { state: 'contested', mendedAt: [], resumeAt: now + LEAVE_ALONE_MS };
    }
    if (!(await writeHostsFile(file, Buffer.from(text)))) {
      this.#watch.soon();
      return known;
    }
    events[isMend ? 'mended' : 'installed'](file);
    return { state: 'managed', reason: 'ours', mendedAt: isMend ? [...mendedAt, now] : mendedAt };
  }

  #left(path: string, reason: string, effect: string, known: Known | undefined): Known {
    if (known?.state !== 'left' || known.reason !== reason) this.#options.events.left(path, reason, effect);
    return { state: 'left', reason, mendedAt: known?.mendedAt ?? [] };
  }

  /** Some writers empty a file before they fill it; to rename ours over it in between would lose what they write. */
  #isBeingWritten({ content }: HostsFile): boolean {
    const ageMs = Date.now() - (content?.stats.mtimeMs ?? 0);
    return ageMs >= 0 && ageMs < this.#quietMs / 2;
  }
}

const FOLLOWED = 'containerd follows this file, without this agent';

function ignored(registry: string): string {
  const whose = registry === DEFAULT_REGISTRY ? 'registries that have no directory of their own' : registry;
  return `containerd ignores this file: it pulls from ${whose} straight, without this agent`;
}

async function isFile(path: string): Promise<boolean> {
  return await stat(path).then(
    (stats) => stats.isFile(),
    () => false,
  );
}

function count(files: ReadonlyMap<string, Known>): Map<HostsState, number> {
  const states = new Map<HostsState, number>();
  for (const { state } of files.values()) states.set(state, (states.get(state) ?? 0) + 1);
  return states;
}
