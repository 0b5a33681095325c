/**
 * Many nodes in one process, each with what an agent has towards the shared tier: connections of its own to all replicas,
 * grants, and reads that go on elsewhere when they break. They pull one image at once, as containerd would have them do.
 * The argument is a `HerdRequest`, the output a `HerdResult`, both JSON.
 */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CallersGrants, Grants } from '../../agent/grants.ts';
import { Relay } from '../../agent/relay.ts';
import { Replicas } from '../../agent/replicas.ts';
import type { TierManifest } from '../../agent/tier-client.ts';
import { BufferPool } from '../../content/buffer-pool.ts';
import { MANIFEST_MEDIA_TYPES, parseManifestLinks } from '../../oci/descriptor.ts';
import { type Digest, digestOf } from '../../oci/digest.ts';
import { parseReference, parseRegistry, parseRepository } from '../../oci/reference.ts';
import type { HerdRequest, HerdResult } from './herd.ts';

/** As containerd's max_concurrent_downloads. */
const LAYERS_AT_ONCE = 3;
/** Who is refused tries again; so long, as kubelet would for much longer. */
const PATIENCE_MS = 30_000;
const PAUSE_MS = 500;

const { nodes, replicas, port, registry, repository, tag } = JSON.parse(process.argv[2] ?? '') as HerdRequest;
const NEVER = new AbortController().signal;
const pool = new BufferPool();
const asker = { authorization: undefined, form: 'ns' } as const;
const caller = {
  ...asker,
  registry: parseRegistry(registry),
  repository: parseRepository(repository, parseRegistry(registry)),
};
const result = {
  bytes: 0,
  resumed: 0,
  refused: 0,
  refusals: new Set<string>(),
  failovers: 0,
  longestPauseMs: 0,
  firstByteMs: [] as number[],
  failures: [] as string[],
};

/** One node. */
class Node implements Disposable {
  readonly #tier = new Replicas({
    tier: { host: 'tier.lab', port },
    lookup: () => Promise.resolve(replicas),
    events: {
      changed: () => undefined,
      lost: () => undefined,
      lookupFailed: () => undefined,
      failedOver: () => void (result.failovers += 1),
    },
  });
  readonly #relay = new Relay({ tier: this.#tier, peerOf: (url) => this.#tier.peerOf(url), pool });
  readonly #grants: CallersGrants = new Grants().of(caller);

  /** Waits for an answer of each replica, so that all nodes begin as ones that have run for long. */
  async connected(): Promise<void> {
    while (this.#tier.count('healthy') < replicas.length) await sleep(20);
  }

  async pull(): Promise<void> {
    const head = await this.#resolve(tag, false);
    const { content } = await this.#resolve(head.descriptor.digest, true);
    if (digestOf(content) !== head.descriptor.digest) throw new Error('the manifest has other bytes');
    const left = parseManifestLinks(content, head.descriptor.mediaType).blobs.toReversed();
    const worker = async (): Promise<void> => {
      for (let blob = left.pop(); blob; blob = left.pop()) await this.#read(blob.digest);
    };
    await Promise.all(Array.from({ length: LAYERS_AT_ONCE }, worker));
  }

  async #resolve(reference: string, withContent: boolean): Promise<TierManifest> {
    const answer = await insist(async () => {
      const question = { accept: MANIFEST_MEDIA_TYPES, withContent, grant: this.#grants.token };
      return await this.#tier.resolveManifest(caller, parseReference(reference), question);
    });
    this.#grants.learn(answer.grant, answer.readable);
    return answer;
  }

  /** Reads a blob; when that breaks, the rest is asked for, as containerd does. */
  async #read(digest: Digest): Promise<void> {
    const hash = createHash('sha256');
    const startedAtMs = performance.now();
    let heardAtMs = startedAtMs;
    let position = 0;
    await insist(async () => {
      const reader = { caller, grants: this.#grants };
      const located = await this.#relay.locate(reader, digest, { statOnly: false });
      const range = { start: position, end: located.sizeBytes };
      using chunks = await this.#relay.open({ ...reader, digest, located }, range, NEVER);
      try {
        for await (const { bytes, release } of chunks) {
          const now = performance.now();
          if (position === 0) result.firstByteMs.push(now - startedAtMs);
          result.longestPauseMs = Math.max(result.longestPauseMs, now - heardAtMs);
          heardAtMs = now;
          hash.update(bytes);
          position += bytes.length;
          result.bytes += bytes.length;
          release();
        }
      } catch (error) {
        result.resumed += 1;
        throw error;
      }
    });
    const found = `sha256:${hash.digest('hex')}`;
    if (found !== digest) throw new Error(`${digest} came as ${found}`);
  }

  [Symbol.dispose](): void {
    this.#tier[Symbol.dispose]();
  }
}

/** Tries until it succeeds, but not for ever. */
async function insist<Result>(action: () => Promise<Result>): Promise<Result> {
  for (const end = performance.now() + PATIENCE_MS; ;) {
    try {
      return await action();
    } catch (error) {
      if (performance.now() > end) throw error;
      result.refused += 1;
      result.refusals.add(error instanceof Error ? error.message : String(error));
      await sleep(PAUSE_MS);
    }
  }
}

const all = Array.from({ length: nodes }, () => new Node());
await Promise.all(all.map((node) => node.connected()));
process.stdout.write('connected\n');
const startedAtMs = performance.now();
const idle = process.cpuUsage();
await Promise.all(
  all.map(async (node, index) => {
    try {
      await node.pull();
    } catch (error) {
      result.failures.push(`node ${index}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }),
);
const { user, system } = process.cpuUsage(idle);
const finished: HerdResult = {
  ...result,
  refusals: [...result.refusals],
  durationMs: performance.now() - startedAtMs,
  cpuSeconds: (user + system) / 1e6,
  peakBytes: process.resourceUsage().maxRSS * 1024,
};
for (const node of all) node[Symbol.dispose]();
process.stdout.write(`${JSON.stringify(finished)}\n`);
process.exit();
