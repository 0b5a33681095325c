import { expect } from 'vitest';
import type { ReplicaState } from '../../agent/replica.ts';
import { Replicas, type ReplicasOptions } from '../../agent/replicas.ts';
import { digestOf } from '../../oci/digest.ts';
import { type ScriptedTier, type TierAnswers, scriptedTier } from '../support/house-tier.ts';
import { CALLER } from './fixtures.ts';

export const TAG = { kind: 'tag', tag: 'v1' } as const;
export const ASK = { grant: new Uint8Array(), statOnly: false };
export const DIGESTS = Array.from({ length: 20 }, (_, index) => digestOf(Buffer.from(`${index}`)));
export const [DIGEST = digestOf(Buffer.from(''))] = DIGESTS;

/** Tiers at 127.0.0.2 and on, and what an agent makes of them. */
export async function replicas(
  count: number,
  { answers = {}, ...options }: Partial<ReplicasOptions> & { answers?: TierAnswers } = {},
) {
  await using parts = new AsyncDisposableStack();
  const tiers = new Map<string, ScriptedTier>();
  let port = 0;
  for (let index = 0; index < count; index += 1) {
    const host = `127.0.0.${index + 2}`;
    const tier = await scriptedTier(
      { openBlob: () => ({ size: index, readUrl: `http://${host}:1/x` }), ...answers },
      { listen: { host, port } },
    );
    ({ port } = tier.address);
    tiers.set(host, parts.use(tier));
  }
  const changes: string[] = [];
  const failovers: string[] = [];
  const failures: unknown[] = [];
  const losses: Error[] = [];
  const it = parts.use(
    new Replicas({
      tier: { host: 'tier.test', port },
      lookup: async () => [...tiers.keys()],
      events: {
        changed: ({ host }, state) => changes.push(`${host} ${state}`),
        failedOver: (what) => failovers.push(what),
        lost: (reason) => losses.push(reason),
        lookupFailed: (reason) => failures.push(reason),
      },
      ...options,
    }),
  );
  const all = parts.move();
  return {
    replicas: it,
    tiers,
    changes,
    failovers,
    failures,
    losses,
    at: (host: string): ScriptedTier => {
      const tier = tiers.get(host);
      if (!tier) throw new Error(`no tier at ${host}`);
      return tier;
    },
    /** Which tier answers for a digest. */
    askFor: async (digest = DIGEST): Promise<string> =>
      (await it.openBlob(CALLER, digest, ASK)).readUrl?.hostname ?? 'nobody',
    until: (state: ReplicaState, wanted: number) =>
      expect.poll(() => it.count(state), { timeout: 10_000 }).toBe(wanted),
    [Symbol.asyncDispose]: () => all[Symbol.asyncDispose](),
  };
}
