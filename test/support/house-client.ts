import { type Hash, createHash } from 'node:crypto';
import { type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { MANIFEST_MEDIA_TYPES } from '../../oci/descriptor.ts';
import { ask } from './origin-client.ts';

/** What came of a GET whose body was hashed, not kept. */
export interface Download {
  /** 0 if no headers came. */
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly bytes: number;
  /** Of the bytes that came, in the algorithm asked for. */
  readonly digest: string;
  /** Did the answer end as HTTP says it should? */
  readonly isWhole: boolean;
  /** Milliseconds until the headers were there. */
  readonly headersMs: number;
}

export interface DownloadOptions {
  readonly headers?: Record<string, string>;
  readonly algorithm?: string;
  readonly signal?: AbortSignal;
  /** Takes over the hashing: gets each piece in order. */
  readonly onPiece?: (piece: Buffer) => void;
  /** Hangs up after so many bytes. */
  readonly enough?: number;
  /** Waits so long after each piece. */
  readonly pauseMs?: number;
  /** Reads on after the first piece when this has settled. */
  readonly until?: Promise<unknown>;
}

/** GET over a connection of its own; never throws for what the server does. */
export async function download(url: string, options: DownloadOptions = {}): Promise<Download> {
  const { headers = {}, algorithm = 'sha256', signal, enough = Infinity, pauseMs = 0 } = options;
  const hash: Hash = createHash(algorithm);
  const startedAt = performance.now();
  const result = { status: 0, headers: {} as IncomingHttpHeaders, bytes: 0, isWhole: false, headersMs: 0 };
  try {
    const outgoing = request(url, { agent: false, headers, ...(signal && { signal }) });
    outgoing.end();
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    outgoing.on('error', reject);
    outgoing.on('response', resolve);
    const incoming = await promise;
    result.status = incoming.statusCode ?? 0;
    result.headers = incoming.headers;
    result.headersMs = performance.now() - startedAt;
    for await (const data of incoming) {
      const piece = data as Buffer;
      const part = piece.subarray(0, enough - result.bytes);
      result.bytes += part.length;
      hash.update(part);
      options.onPiece?.(part);
      if (result.bytes >= enough) break;
      await options.until;
      if (pauseMs > 0) await sleep(pauseMs);
    }
    result.isWhole = incoming.complete;
    outgoing.destroy();
  } catch {
    // What has come is told; a body that broke is not whole.
  }
  return { ...result, digest: `${algorithm}:${hash.digest('hex')}` };
}

/** One image as a client sees it. */
export interface Pulled {
  readonly manifests: readonly string[];
  readonly blobs: readonly string[];
  readonly bytes: number;
}

export interface PullOptions {
  /** `http://host:port` of the mirror. */
  readonly mirror: string;
  readonly registry: string;
  readonly repository: string;
  readonly reference: string;
  /** How blobs are fetched; absent: one GET each. */
  readonly chunkBytes?: number;
  readonly path?: boolean;
  /** Sent with every request. */
  readonly authorization?: string | undefined;
}

interface Manifest {
  readonly manifests?: readonly { digest: string }[];
  readonly config?: { digest: string; size: number };
  readonly layers?: readonly { digest: string; size: number }[];
}

/**
 * Pulls as containerd does: HEAD of the tag, GET of the manifest by its digest, all images of an index, then the blobs.
 *
 * @throws when anything is refused, or does not hash to what was asked for
 */
export async function pull(options: PullOptions): Promise<Pulled> {
  const { reference } = options;
  const headers = { accept: [...MANIFEST_MEDIA_TYPES, '*/*'].join(', '), ...authorizationOf(options) };
  const head = await ask(urlOf(options, 'manifests', reference), { method: 'HEAD', headers });
  const digest = head.headers['docker-content-digest'];
  if (head.status !== 200 || typeof digest !== 'string') throw new Error(`HEAD of ${reference}: ${head.status}`);
  const pulled = { manifests: [] as string[], blobs: [] as string[], bytes: 0 };
  await pullManifest(options, digest, headers, pulled);
  return pulled;
}

async function pullManifest(
  options: PullOptions,
  digest: string,
  headers: Record<string, string>,
  pulled: { manifests: string[]; blobs: string[]; bytes: number },
): Promise<void> {
  const { status, body } = await ask(urlOf(options, 'manifests', digest), { headers });
  if (status !== 200) throw new Error(`GET of the manifest ${digest}: ${status}`);
  verify(digest, body);
  pulled.manifests.push(digest);
  const manifest = JSON.parse(body.toString()) as Manifest;
  for (const child of manifest.manifests ?? []) await pullManifest(options, child.digest, headers, pulled);
  const blobs = [...(manifest.config ? [manifest.config] : []), ...(manifest.layers ?? [])];
  await Promise.all(
    blobs.map(async (blob) => {
      const got = await pullBlob(options, blob.digest, blob.size);
      if (got !== blob.digest) throw new Error(`${blob.digest} came as ${got}`);
    }),
  );
  // In the manifest's order, whichever came first.
  pulled.blobs.push(...blobs.map((blob) => blob.digest));
  pulled.bytes += blobs.reduce((sum, { size }) => sum + size, 0);
}

async function pullBlob(options: PullOptions, digest: string, sizeBytes: number): Promise<string> {
  const url = urlOf(options, 'blobs', digest);
  const algorithm = digest.split(':', 1).join();
  const headers = authorizationOf(options);
  if (options.chunkBytes !== undefined) {
    return await parallelDownload(url, sizeBytes, options.chunkBytes, algorithm, headers);
  }
  const got = await download(url, { algorithm, headers });
  if (got.status !== 200 || !got.isWhole)
    throw new Error(`GET of the blob ${digest}: ${got.status}, ${got.bytes} bytes`);
  return got.digest;
}

/**
 * As containerd 2.1 and later when told to: open-ended ranges, each cut by hanging up where the next one begins, several
 * at once and in no order. Returns the digest of all of it.
 */
export async function parallelDownload(
  url: string,
  sizeBytes: number,
  chunkBytes: number,
  algorithm = 'sha256',
  headers: Record<string, string> = {},
): Promise<string> {
  const starts = Array.from({ length: Math.ceil(sizeBytes / chunkBytes) }, (_, index) => index * chunkBytes);
  const pieces = new Map<number, Buffer>();
  const todo = starts.toReversed();
  const worker = async (): Promise<void> => {
    for (let start = todo.pop(); start !== undefined; start = todo.pop()) {
      const wanted = Math.min(chunkBytes, sizeBytes - start);
      const chunk = Buffer.allocUnsafe(wanted);
      let at = 0;
      const { status, bytes } = await download(url, {
        headers: { ...headers, range: `bytes=${start}-` },
        enough: wanted,
        onPiece: (piece) => {
          at += piece.copy(chunk, at);
        },
      });
      if (status !== 206 || bytes !== wanted)
        throw new Error(`range ${start}-: ${status}, ${bytes} of ${wanted} bytes`);
      pieces.set(start, chunk);
    }
  };
  await Promise.all(Array.from({ length: 4 }, worker));
  const hash = createHash(algorithm);
  for (const start of starts) hash.update(pieces.get(start) ?? Buffer.alloc(0));
  return `${algorithm}:${hash.digest('hex')}`;
}

/** The address of an object in the `ns` form, or in the path form. */
export function urlOf(
  { mirror, registry, repository, path = false }: Omit<PullOptions, 'reference'>,
  kind: 'manifests' | 'blobs',
  reference: string,
): string {
  return path
    ? `${mirror}/v2/${registry}/${repository}/${kind}/${reference}`
    : `${mirror}/v2/${repository}/${kind}/${reference}?ns=${registry}`;
}

function authorizationOf({ authorization }: Pick<PullOptions, 'authorization'>): Record<string, string> {
  return authorization === undefined ? {} : { authorization };
}

function verify(digest: string, bytes: Uint8Array): void {
  const algorithm = digest.split(':', 1).join();
  const actual = `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
  if (actual !== digest) throw new Error(`${digest} came as ${actual}`);
}
