import { setTimeout as sleep } from 'node:timers/promises';
import { digestOf, type Digest } from '../../oci/digest.ts';
import { type Bytes, readBytes } from './blobs.ts';
import { MEDIA_TYPES } from './origin-content.ts';
import { type Answer, type AskOptions, ask } from './origin-client.ts';

/** Who pushes, and where to. */
export interface PushOptions {
  /** `http://host:port` of the shared tier, or of a registry. */
  readonly url: string;
  /** As it stands in the path. */
  readonly repository: string;
  /** Parameter `ns`. */
  readonly ns?: string;
  readonly authorization?: string;
}

/** One client of the push protocol: it follows addresses as it is told them, and checks nothing. */
export class PushClient {
  readonly #options: PushOptions;

  constructor(options: PushOptions) {
    this.#options = options;
  }

  /** Of an object of the repository, or of an upload, by what follows the repository. */
  url(path: string): string {
    const { url, repository, ns } = this.#options;
    const query = ns === undefined ? '' : `${path.includes('?') ? '&' : '?'}ns=${ns}`;
    return `${url}/v2/${repository}/${path}${query}`;
  }

  /** One request. @param address a path below the repository, or an address as it was told */
  async ask(method: string, address: string, { headers, ...more }: AskOptions = {}): Promise<Answer> {
    const { url, authorization } = this.#options;
    const target = /^(?:https?:)?\//.test(address) ? new URL(address, url).href : this.url(address);
    return await ask(target, {
      ...more,
      method,
      headers: { ...headers, ...(authorization !== undefined && { authorization }) },
    });
  }

  /** Begins an upload and gives its address. @throws unless that is answered 202 */
  async begin(query = ''): Promise<string> {
    return locationOf(await this.ask('POST', `blobs/uploads/${query}`), 202);
  }

  async patch(address: string, body: NonNullable<AskOptions['body']>, headers = {}): Promise<Answer> {
    return await this.ask('PATCH', address, { body, headers });
  }

  async put(address: string, digest: string, more: AskOptions = {}): Promise<Answer> {
    return await this.ask(
      'PUT',
      `${address}${address.includes('?') ? '&' : '?'}digest=${encodeURIComponent(digest)}`,
      more,
    );
  }

  /** Pushes a blob in one PATCH of unknown length, as docker does, and tells what the end of it was answered. */
  async stream(blob: Bytes, digest: string): Promise<Answer> {
    const patched = await this.patch(await this.begin(), blob.pieces(0, blob.sizeBytes));
    return await this.put(locationOf(patched, 202), digest);
  }

  /** Pushes a blob in one PUT, as containerd and crane do. */
  async whole(blob: Bytes, digest: string): Promise<Answer> {
    const headers = { 'content-length': `${blob.sizeBytes}` };
    return await this.put(await this.begin(), digest, { body: blob.pieces(0, blob.sizeBytes), headers });
  }

  /** Pushes a blob in parts that say where they belong. */
  async parts(bytes: Buffer, digest: string, partBytes: number): Promise<Answer> {
    let address = await this.begin();
    for (let at = 0; at < bytes.length; at += partBytes) {
      address = locationOf(await this.patch(address, ...partOf(bytes, at, partBytes)), 202);
    }
    return await this.put(address, digest);
  }

  async manifest(reference: string, content: Uint8Array | object, mediaType: string = MEDIA_TYPES.oci.manifest) {
    const body = content instanceof Uint8Array ? content : Buffer.from(JSON.stringify(content));
    return await this.ask('PUT', `manifests/${reference}`, { body, headers: { 'content-type': mediaType } });
  }

  /** Pushes an image of these layers. @throws unless all of it is taken */
  async image(tag: string, layers: readonly Bytes[]): Promise<{ digest: Digest; blobs: readonly Digest[] }> {
    const descriptors = [];
    for (const [index, layer] of [bytesOf('{}'), ...layers].entries()) {
      const bytes = readBytes(layer);
      const digest = digestOf(bytes);
      locationOf(await (index % 2 === 0 ? this.stream(layer, digest) : this.whole(layer, digest)), 201);
      descriptors.push({ mediaType: MEDIA_TYPES.oci.layer, digest, size: bytes.length });
    }
    const [config, ...others] = descriptors;
    const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPES.oci.manifest, config, layers: others };
    const body = Buffer.from(JSON.stringify(manifest));
    locationOf(await this.manifest(tag, body), 201);
    return { digest: digestOf(body), blobs: descriptors.map(({ digest }) => digest) };
  }
}

/** A part of a blob, and the headers that say where it belongs. */
export function partOf(bytes: Buffer, at: number, partBytes: number): [Buffer, Record<string, string>] {
  const part = bytes.subarray(at, at + partBytes);
  return [part, { 'content-range': `${at}-${at + part.length - 1}` }];
}

/** Where an answer leads. @throws unless it has this status */
export function locationOf({ status, headers, body, failure }: Answer, expected: number): string {
  if (status !== expected || headers.location === undefined) {
    throw new Error(`${status}, not ${expected}: ${failure ?? body.toString()}`);
  }
  return headers.location;
}

/** The code of the error in an answer's body. */
export function codeOf({ body }: Answer): string | undefined {
  const { errors } = JSON.parse(body.toString()) as { errors?: { code: string }[] };
  return errors?.[0]?.code;
}

/** Pieces that come with pauses, and nothing after `enough` of them: the request stays open. */
export async function* slowly(pieces: Iterable<Buffer>, pauseMs: number): AsyncGenerator<Buffer> {
  for (const piece of pieces) {
    yield piece;
    await sleep(pauseMs);
  }
}

function bytesOf(text: string): Bytes {
  const bytes = Buffer.from(text);
  return {
    sizeBytes: bytes.length,
    *pieces(start, end) {
      yield bytes.subarray(start, end);
    },
  };
}
