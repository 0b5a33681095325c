import { TierClient } from '../../agent/tier-client.ts';
import { Authorization } from '../../oci/authorization.ts';
import { MANIFEST_MEDIA_TYPES } from '../../oci/descriptor.ts';
import { parseDigest } from '../../oci/digest.ts';
import { OciError } from '../../oci/error.ts';
import { parseReference, parseRegistry, parseRepository } from '../../oci/reference.ts';
import { generatedBlob } from './blobs.ts';
import type { Secret } from './containerd-auth.ts';
import { pullInPhases } from './containerd-pull.ts';
import { type House, REGISTRY, startHouse } from './house.ts';
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

/** Agents that ask on behalf of so many nodes. */
const AGENTS = 4;

/**
 * The same without connections of a thousand clients, which one machine does not take at once: what agents ask the tier
 * for each node, with credentials that are the node's own in each phase, or the same for all.
 */
export async function herdAtTier({ house }: HerdHouse, nodes: number, auth: HerdOptions['auth']): Promise<HerdResult> {
  const startedAtMs = performance.now();
  using clients = new DisposableStack();
  const agents = Array.from({ length: AGENTS }, () => clients.use(new TierClient(house.tierGrpc)));
  const place = { registry: parseRegistry(REGISTRY), repository: parseRepository(APP, parseRegistry(REGISTRY)) };
  const same = Authorization.basic({ username: SECRET.user, password: SECRET.password });
  const own = () => Authorization.bearer(house.origin.tokens.issue([APP]));
  const sentAway = new Map<number, number>();
  const node = async (tier: TierClient): Promise<boolean> => {
    try {
      const questions = { accept: [...MANIFEST_MEDIA_TYPES], grant: new Uint8Array() };
      const phase = () => ({ ...place, form: 'ns', authorization: auth === 'basic' ? same : own() }) as const;
      const tag = parseReference('v1');
      const { descriptor } = await tier.resolveManifest(phase(), tag, { ...questions, withContent: false });
      const caller = phase();
      const { digest } = descriptor;
      const got = await tier.resolveManifest(caller, { kind: 'digest', digest }, { ...questions, withContent: true });
      const { layers } = JSON.parse(Buffer.from(got.content).toString()) as { layers: { digest: string }[] };
      const layer = parseDigest(layers[0]?.digest ?? '');
      await tier.openBlob(caller, layer, { grant: got.grant?.token ?? new Uint8Array(), statOnly: false });
      return true;
    } catch (error) {
      const { status } = OciError.from(error);
      sentAway.set(status, (sentAway.get(status) ?? 0) + 1);
      return false;
    }
  };
  const all = await Promise.all(
    Array.from({ length: nodes }, (_, index) => node(agents[index % AGENTS] as TierClient)),
  );
  return { served: all.filter(Boolean).length, sentAway, durationMs: performance.now() - startedAtMs };
}
