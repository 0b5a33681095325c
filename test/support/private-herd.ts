import { generatedBlob } from './blobs.ts';
import type { Secret } from './containerd-auth.ts';
import { pullInPhases } from './containerd-pull.ts';
import { type House, startHouse } from './house.ts';
import { RateLimit } from './origin-limit.ts';

const APP = 'org/app';
const SECRET: Secret = { user: 'alice', password: 'open sesame' };
/** Of layers: 20, small, because what is measured is who may read them. */
const LAYERS = Array.from({ length: 20 }, (_, index) => generatedBlob(2_000, index + 1));

/** A house with a private image of 20 layers, whose origin takes only so many requests a second. */
export interface HerdHouse extends AsyncDisposable {
  readonly house: House;
  readonly rate: RateLimit;
  readonly layers: number;
}

export async function startHerdHouse({ auth, perSecond }: HerdOptions): Promise<HerdHouse> {
  const rate = new RateLimit(perSecond);
  const house = await startHouse({
    origin: {
      auth,
      privateRepositories: [APP],
      users: { [SECRET.user]: { password: SECRET.password, repositories: [APP] } },
      rate,
    },
  });
  await house.origin.addImage(APP, 'v1', { layers: LAYERS });
  return { house, rate, layers: LAYERS.length, [Symbol.asyncDispose]: () => house[Symbol.asyncDispose]() };
}

export interface HerdOptions {
  /** `bearer`: each node gets two tokens of its own; `basic`: all nodes come with the same credentials. */
  readonly auth: 'bearer' | 'basic';
  readonly perSecond: number;
}

/** What became of so many nodes that began to pull the same private image at once. */
export interface HerdResult {
  /** Nodes that got all of it here; the others would have gone to the origin. */
  readonly served: number;
  /** Answers that send a containerd to the origin, and how many got them. */
  readonly sentAway: ReadonlyMap<number, number>;
  readonly durationMs: number;
}

/** All nodes pull at once, each as containerd does it, so many blobs of the image. */
export async function herd({ house }: HerdHouse, nodes: number, blobs = Infinity): Promise<HerdResult> {
  const startedAtMs = performance.now();
  const all = await Promise.all(
    Array.from({ length: nodes }, async () => await pullInPhases(house.mirror, APP, SECRET, { blobs })),
  );
  const statuses = all
    .flatMap(({ resolve, fetch }) => [...resolve, ...fetch])
    .filter((status) => ![200, 401].includes(status));
  const sentAway = new Map<number, number>();
  for (const status of statuses) sentAway.set(status, (sentAway.get(status) ?? 0) + 1);
  return { served: all.filter(({ isWhole }) => isWhole).length, sentAway, durationMs: performance.now() - startedAtMs };
}
