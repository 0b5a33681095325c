import { digestOf } from '../../oci/digest.ts';
import { type BlobSource, generatedBlob, readBytes } from '../support/blobs.ts';
import { type Secret, authorize } from '../support/containerd-auth.ts';
import { GrpcTap } from '../support/grpc-tap.ts';
import { type PullOptions, pull } from '../support/house-client.ts';
import { type House, type HouseOptions, REGISTRY, startHouse } from '../support/house.ts';
import { type Answer, ask } from '../support/origin-client.ts';
import type { AddedImage } from '../support/origin-content.ts';
import { type Origin, startOrigin } from '../support/origin.ts';

/** A's repositories: one whose image is pulled, one like it in everything but that nobody ever pulls it, one more. */
export const CACHED = 'team-a/cached';
export const NEVER = 'team-a/unseen';
export const A_ELSE = 'team-a/others';
/** B's. */
export const B_OWN = 'team-b/images';
/** Another registry, which knows B, and has repositories of the same names. */
export const ELSEWHERE = 'elsewhere.test';

export const ALICE: Secret = { user: 'alice', password: 'alice-password' };
export const BOB: Secret = { user: 'bob', password: 'bob-password' };

const SIZE = 200_000;

export interface Tenants extends AsyncDisposable {
  readonly house: House;
  readonly elsewhere: Origin;
  readonly tap: GrpcTap;
  readonly cached: AddedImage;
  readonly never: AddedImage;
  /** The layer of the cached image. */
  readonly layer: BlobSource;
  readonly at: PullOptions;
  /** What a token service gives for this repository to who has this secret; a token it is, good for it or not. */
  readonly token: (secret: Secret | undefined, repository: string, origin?: Origin) => Promise<string>;
  /** A pulls; the image is in tier and node then, if it was not before. */
  readonly pullAsA: (repository?: string) => Promise<void>;
}

/** Two tenants of one cluster: A's image has been pulled, twice, so that tier and node both have it. */
export async function startTenants(options: HouseOptions = {}): Promise<Tenants> {
  const running = new AsyncDisposableStack();
  const users = {
    alice: { password: ALICE.password, repositories: [CACHED, NEVER, A_ELSE] },
    bob: { password: BOB.password, repositories: [B_OWN] },
  };
  const privateRepositories = [CACHED, NEVER, A_ELSE, B_OWN];
  const elsewhere = running.use(
    await startOrigin({
      auth: 'bearer',
      users: { bob: { ...users.bob, repositories: privateRepositories } },
      privateRepositories,
    }),
  );
  const tap = running.use(new GrpcTap());
  const house = running.use(
    await startHouse({
      ...options,
      origin: { auth: 'bearer', users, privateRepositories },
      registries: { [ELSEWHERE]: elsewhere, ...options.registries },
      between: (tier) => tap.between(tier),
      agent: { CIRC_AGENT_ADMIT: 'always', ...options.agent },
    }),
  );
  const { origin } = house;
  const layer = generatedBlob(SIZE, 1);
  const cached = await origin.addImage(CACHED, 'v1', { layers: [layer] });
  const never = await origin.addImage(NEVER, 'v1', { layers: [generatedBlob(SIZE, 2)] });
  for (const [index, repository] of [A_ELSE, B_OWN].entries()) {
    await origin.addImage(repository, 'v1', { layers: [generatedBlob(SIZE, 3 + index)] });
  }
  for (const repository of [CACHED, B_OWN]) {
    await elsewhere.addImage(repository, 'v1', { layers: [generatedBlob(SIZE, 9)] });
  }
  const at = { mirror: house.mirror, registry: REGISTRY, repository: CACHED, reference: 'v1' };
  const token = async (secret: Secret | undefined, repository: string, of = origin): Promise<string> =>
    (await authorize(of.challenge(repository), repository, secret)).authorization ?? '';
  const tenants: Tenants = {
    house,
    elsewhere,
    tap,
    cached,
    never,
    layer,
    at,
    token,
    pullAsA: async (repository = CACHED) => {
      await pull({ ...at, repository, authorization: await token(ALICE, repository) });
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
  try {
    await tenants.pullAsA();
    await tenants.pullAsA();
  } catch (error) {
    await running.disposeAsync();
    throw error;
  }
  return tenants;
}

/** What can be asked for: the cached thing in its place, and its twin that nobody has ever fetched in that one's. */
export interface Question {
  readonly repository: string;
  readonly image: AddedImage;
}

/** Every form of a request for one image by one caller. */
export const FORMS = [
  'manifests by tag',
  'manifests by digest',
  'blobs',
  'blobs under manifests',
  'manifests under blobs',
] as const;

/** The path of a request below `/v2/`. */
export function pathOf(form: (typeof FORMS)[number], { repository, image }: Question): string {
  const layer = image.layers[0]?.digest ?? '';
  const object = {
    'manifests by tag': 'manifests/v1',
    'manifests by digest': `manifests/${image.manifest.digest}`,
    blobs: `blobs/${layer}`,
    'blobs under manifests': `manifests/${layer}`,
    'manifests under blobs': `blobs/${image.manifest.digest}`,
  }[form];
  return `${repository}/${object}`;
}

/** An answer as its receiver sees it, without what names the question or the time. */
export function seen(answer: Answer, { repository, image }: Question): object {
  const names = [repository, image.manifest.digest, image.config.digest, ...image.layers.map(({ digest }) => digest)];
  const blank = (text: string): string => names.reduce((rest, name) => rest.replaceAll(name, '·'), text);
  const { date: _date, ...headers } = answer.headers;
  return {
    status: answer.status,
    headers: JSON.parse(blank(JSON.stringify(headers))) as unknown,
    // Errors are short; what is long would drown the difference.
    body: answer.body.length > 1_000 ? digestOf(answer.body) : blank(answer.body.toString('latin1')),
    failure: answer.failure,
  };
}

/** Does the answer hold any of the image's bytes? */
export function holdsBytes(answer: Answer, layer: BlobSource): boolean {
  const bytes = readBytes(layer);
  const pieces = [0, 1_000, bytes.length - 64].map((start) => bytes.subarray(start, start + 32));
  return pieces.some((piece) => answer.body.includes(piece)) || answer.body.includes('"layers"');
}

/** Where and how a caller asks. */
export interface Ask {
  readonly authorization?: string | undefined;
  readonly method?: string;
  readonly range?: string | undefined;
  readonly registry?: string;
  /** The registry as the first part of the path, in place of `ns`. */
  readonly asPath?: boolean;
}

/** Asks at one door, as this caller. */
export async function askAs(door: string, path: string, options: Ask = {}): Promise<Answer> {
  const { authorization, method = 'GET', range, registry = REGISTRY, asPath = false } = options;
  const headers = { ...(authorization && { authorization }), ...(range && { range }) };
  const target = asPath ? `/v2/${registry}/${path}` : `/v2/${path}?ns=${registry}`;
  return await ask(door + target, { method, headers });
}
