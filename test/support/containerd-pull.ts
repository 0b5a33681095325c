import { MANIFEST_MEDIA_TYPES } from '../../oci/descriptor.ts';
import { type Secret, authorize } from './containerd-auth.ts';
import { urlOf } from './house-client.ts';
import { REGISTRY } from './house.ts';
import { type Answer, ask } from './origin-client.ts';

/** What containerd accepts as a manifest. */
export const accept = [...MANIFEST_MEDIA_TYPES, '*/*'].join(', ');

/** What containerd does in one phase of a pull: asks bare, then with what the challenge leads to. */
class Phase {
  readonly statuses: number[] = [];
  #authorization: string | undefined;

  readonly #place: Parameters<typeof urlOf>[0];
  readonly #secret: Secret | undefined;

  constructor(mirror: string, repository: string, secret?: Secret, path = false) {
    this.#place = { mirror, registry: REGISTRY, repository, path };
    this.#secret = secret;
  }

  async ask(kind: 'manifests' | 'blobs', reference: string, method = 'GET'): Promise<Answer> {
    const url = urlOf(this.#place, kind, reference);
    const send = async (): Promise<Answer> => {
      const headers = { accept, ...(this.#authorization !== undefined && { authorization: this.#authorization }) };
      const answer = await ask(url, { method, headers });
      this.statuses.push(answer.status);
      return answer;
    };
    const first = await send();
    if (first.status !== 401 || this.#authorization !== undefined) return first;
    const { authorization } = await authorize(first.headers['www-authenticate'], this.#place.repository, this.#secret);
    if (authorization === undefined) return first;
    this.#authorization = authorization;
    return await send();
  }
}

/** What became of a pull as containerd does it. */
export interface PulledPrivately {
  /** Statuses of the resolve phase, and of the fetch phase. */
  readonly resolve: readonly number[];
  readonly fetch: readonly number[];
  readonly isWhole: boolean;
}

/** A pull of `v1` as containerd does it, in two phases that each get a token of their own; of so many of its blobs. */
export async function pullInPhases(
  mirror: string,
  repository: string,
  secret?: Secret,
  { path = false, blobs = Infinity } = {},
): Promise<PulledPrivately> {
  const resolve = new Phase(mirror, repository, secret, path);
  const head = await resolve.ask('manifests', 'v1', 'HEAD');
  const fetch = new Phase(mirror, repository, secret, path);
  if (head.status !== 200) return { resolve: resolve.statuses, fetch: [], isWhole: false };
  const got = await fetch.ask('manifests', String(head.headers['docker-content-digest']));
  if (got.status !== 200) return { resolve: resolve.statuses, fetch: fetch.statuses, isWhole: false };
  const { config, layers } = JSON.parse(got.body.toString()) as {
    config: { digest: string; size: number };
    layers: { digest: string; size: number }[];
  };
  let isWhole = true;
  for (const { digest, size } of [config, ...layers].slice(0, blobs)) {
    const blob = await fetch.ask('blobs', digest);
    isWhole &&= blob.status === 200 && blob.body.length === size;
  }
  return { resolve: resolve.statuses, fetch: fetch.statuses, isWhole };
}
