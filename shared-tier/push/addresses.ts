import { randomUUID } from 'node:crypto';
import type { Digest } from '../../oci/digest.ts';
import { OciError } from '../../oci/error.ts';
import { STATE_PARAMETER, type UploadRequest } from '../../oci/push-request.ts';
import { type Repository, type Registry, parseRegistry, parseRepository } from '../../oci/reference.ts';
import { type RequestForm, type SpelledTarget, spell } from '../../oci/request.ts';
import type { Seal, Sealed } from '../seal.ts';

/** A repository, and how its client spells it. */
export type Spelling = Pick<SpelledTarget, 'registry' | 'repository' | 'form' | 'name'>;

/** One upload, as far as its address tells: all that a replica needs to go on with it. */
export interface Upload {
  readonly id: string;
  readonly target: Spelling;
  /** Where it goes on at the origin. */
  readonly location: URL;
  /** What the origin has of it, in bytes. */
  readonly offset: number;
}

export interface UploadClaims extends Sealed {
  readonly id: string;
  readonly registry: Registry;
  readonly repository: Repository;
  readonly form: RequestForm;
  readonly name: string;
  readonly location: string;
  readonly offset: number;
}

/** Registries keep an upload that nobody goes on with a week at most, most of them a day. */
const UPLOAD_MS = 24 * 3_600_000;

/**
 * The addresses that pushers are told. That of an upload carries its state, sealed: replicas share nothing, and any of
 * them can go on. It is no right: each request needs its own credentials at the origin.
 */
export class Addresses {
  readonly #seal: Seal<UploadClaims>;
  readonly #base: string;

  /** @param publicUrl where pushers reach the tier, if relative addresses would lead them elsewhere */
  constructor(seal: Seal<UploadClaims>, publicUrl: URL | undefined) {
    this.#seal = seal;
    this.#base = publicUrl?.href.replace(/\/$/, '') ?? '';
  }

  upload({ id, target, location, offset }: Upload): string {
    const { registry, repository, form, name } = target;
    const endsAtMs = Date.now() + UPLOAD_MS;
    const claims = { id, registry, repository, form, name, location: location.href, offset, endsAtMs };
    const state = this.#seal.close(claims).toString('base64url');
    // Without `ns`: clients add their own to what they were told, and two of them would be one too many.
    return `${this.#base}/v2/${name}/blobs/uploads/${id}?${STATE_PARAMETER}=${state}`;
  }

  /** @throws OciError BLOB_UPLOAD_UNKNOWN when it is not an upload of this tier, or not any more */
  open({ name, state }: Pick<UploadRequest, 'name' | 'state'>): Upload {
    const claims = this.#seal.open(Buffer.from(state, 'base64url'));
    if (claims?.name !== name) throw new OciError('BLOB_UPLOAD_UNKNOWN', 'there is no such upload');
    const registry = parseRegistry(claims.registry);
    const target = { registry, repository: parseRepository(claims.repository, registry), form: claims.form, name };
    return { id: claims.id, target, location: new URL(claims.location), offset: claims.offset };
  }

  blob(target: Spelling, digest: Digest): string {
    return `${this.#base}${spell(target, `blobs/${digest}`)}`;
  }

  manifest(target: Spelling, digest: Digest): string {
    return `${this.#base}${spell(target, `manifests/${digest}`)}`;
  }
}

/** The name of a new upload; it has to be a UUID by the specification. */
export function newUploadId(): string {
  return randomUUID();
}
