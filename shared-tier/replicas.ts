import { Agent, type Dispatcher } from 'undici';
import type { Digest } from '../oci/digest.ts';
import { OciError } from '../oci/error.ts';
import { type ByteRange, parseContentRange } from '../oci/range.ts';
import type { Repository } from '../oci/reference.ts';
import type { TlsMaterial } from '../service/tls-material.ts';
import { HolderWatch } from './holder-watch.ts';
import type { Holder } from './leases/lease-api.ts';
import type { BlobSource } from './origin/download.ts';
import type { BlobBody } from './origin/registry-client.ts';
import { replicaConnector } from './replica-connector.ts';
import type { ReadPlace } from './records.ts';
import type { Seal } from './seal.ts';
import { type ReadClaims, signedReadUrl } from './signed-reads.ts';

export interface ReplicasOptions {
  readonly seal: Seal<ReadClaims>;
  /** With it replicas speak TLS to each other. */
  readonly material?: TlsMaterial | undefined;
  /** Without a byte, once the holder has answered. */
  readonly silenceMs?: number;
}

/** A read begins at once or not at all. */
const VALID_MS = 10_000;
/** The holder answers when the origin has told it the size. */
const ANSWER_MS = 10_000;
/** The same when the origin itself can be asked instead. */
const SHORT_ANSWER_MS = 3_000;
/** The holder itself gives an origin up after 10 s and resumes. */
const SILENCE_MS = 15_000;

/** Other replicas of the shared tier, as places to read from what they are fetching, by signed reads. */
export class Replicas implements AsyncDisposable {
  readonly #seal: Seal<ReadClaims>;
  readonly #scheme: 'http' | 'https';
  readonly #agent: Agent;

  constructor({ seal, material, silenceMs = SILENCE_MS }: ReplicasOptions) {
    this.#seal = seal;
    this.#scheme = material ? 'https' : 'http';
    this.#agent = new Agent({
      connect: replicaConnector(material),
      bodyTimeout: silenceMs,
      allowH2: false,
    });
  }

  /** What a holder has of a registry's content, whether committed or arriving; or only of this repository's. */
  source({ address }: Holder, place: ReadPlace): BlobSource {
    const read = async (
      _repository: Repository,
      digest: Digest,
      range: ByteRange | undefined,
      { signal }: { signal: AbortSignal },
    ): Promise<BlobBody> => {
      const url = signedReadUrl(this.#seal, `${this.#scheme}://${address}`, { ...place, digest }, VALID_MS);
      const headersTimeout = place.repository === undefined ? ANSWER_MS : SHORT_ANSWER_MS;
      return await this.#read(url, range ?? { start: 0, end: Infinity }, { signal, headersTimeout });
    };
    return { getBlob: read, getBlobFrom: read };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
  }

  /** @throws OciError UNAVAILABLE, whatever the reason: who holds the lease may be another one by now */
  async #read(
    url: string,
    { start, end }: ByteRange,
    options: { signal: AbortSignal; headersTimeout: number },
  ): Promise<BlobBody> {
    const headers = { range: `bytes=${start}-${end === Infinity ? '' : end - 1}` };
    const place = splitUrl(url);
    const watch = new HolderWatch(this.#agent, place);
    const signal = AbortSignal.any([options.signal, watch.signal]);
    let response: Dispatcher.ResponseData;
    try {
      response = await this.#agent.request({ ...place, method: 'GET', headers, ...options, signal });
    } catch (cause) {
      watch[Symbol.dispose]();
      throw new OciError('UNAVAILABLE', 'another replica fetches this content, and cannot be reached', { cause });
    }
    response.body.once('close', () => watch[Symbol.dispose]());
    const cancel = (): void => {
      response.body.on('error', () => undefined); // destroying it before its end is reported there
      response.body.destroy();
    };
    const told = response.headers['content-range'];
    const part = typeof told === 'string' ? parseContentRange(told) : undefined;
    if (response.statusCode !== 206 || part?.start !== start) {
      cancel();
      throw new OciError('UNAVAILABLE', 'another replica was said to fetch this content, and does not have it');
    }
    return { start, sizeBytes: part.sizeBytes, isRange: true, pieces: heard(response.body, watch), cancel };
  }
}

async function* heard(pieces: AsyncIterable<Uint8Array>, watch: HolderWatch): AsyncGenerator<Uint8Array, void, void> {
  for await (const piece of pieces) {
    watch.heard();
    yield piece;
  }
}

/** @throws OciError UNAVAILABLE for what the holder's annotation made of it */
function splitUrl(url: string): { origin: string; path: string } {
  try {
    const { origin, pathname } = new URL(url);
    return { origin, path: pathname };
  } catch (cause) {
    throw new OciError('UNAVAILABLE', 'another replica fetches this content, and does not tell where it is', { cause });
  }
}
