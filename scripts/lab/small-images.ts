/**
 * Makes or pulls many small images, as a process of its own in the namespace of the server it talks to, over a few
 * connections that are kept. The argument is a `SmallImages`, the output a `SmallImagesResult`, both JSON.
 *
 * Image number n has a manifest, a configuration and one layer; its bytes follow from n alone.
 */
import { createHash } from 'node:crypto';
import { Pool } from 'undici';

export interface SmallImages {
  readonly verb: 'push' | 'pull';
  /** Base URL of the server. */
  readonly url: string;
  /** First components of the repositories, where the server wants to know the registry. */
  readonly prefix: string;
  /** How many images there are. */
  readonly images: number;
  readonly layerBytes: number;
  /** How many are pulled, each connection one after the other, in an order that looks like chance and is always the same. */
  readonly pulls: number;
}

export interface SmallImagesResult {
  readonly durationMs: number;
  /** Bodies of another digest, or answers that are none. */
  readonly failures: readonly string[];
}

const CONNECTIONS = 16;
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

interface Content {
  readonly digest: string;
  readonly bytes: Buffer;
}

const task = JSON.parse(process.argv[2] ?? '') as SmallImages;
const pool = new Pool(task.url, { connections: CONNECTIONS });
const failures: string[] = [];
const startedAt = performance.now();
const count = task.verb === 'push' ? task.images : task.pulls;
let next = 0;
await Promise.all(
  Array.from({ length: CONNECTIONS }, async () => {
    while (next < count && failures.length < 10) {
      const index = next++;
      try {
        if (task.verb === 'push') await push(index);
        else await pull(hashOf(`pull ${index}`).readUInt32BE() % task.images);
      } catch (error) {
        failures.push(`${index}: ${String(error)}`);
      }
    }
  }),
);
await pool.close();
const result: SmallImagesResult = { durationMs: performance.now() - startedAt, failures };
process.stdout.write(JSON.stringify(result));

async function pull(number: number): Promise<void> {
  const image = imageOf(number);
  const manifest = await get(`${repositoryOf(number)}/manifests/1`);
  if (!manifest.equals(image.manifest.bytes)) throw new Error(`another manifest for image ${number}`);
  for (const { digest } of [image.config, image.layer]) {
    const body = await get(`${repositoryOf(number)}/blobs/${digest}`);
    if (digestOf(body) !== digest) throw new Error(`another content for ${digest}`);
  }
}

async function get(path: string): Promise<Buffer> {
  const { statusCode, body } = await pool.request({ method: 'GET', path, headers: { accept: MANIFEST } });
  const bytes = Buffer.from(await body.arrayBuffer());
  if (statusCode !== 200) throw new Error(`${path}: ${statusCode} ${bytes.toString()}`);
  return bytes;
}

async function push(number: number): Promise<void> {
  const { manifest, config, layer } = imageOf(number);
  for (const { digest, bytes } of [config, layer]) {
    const begun = await pool.request({ method: 'POST', path: `${repositoryOf(number)}/blobs/uploads/` });
    await begun.body.dump();
    const location = new URL(String(begun.headers['location']), task.url);
    location.searchParams.set('digest', digest);
    await put(`${location.pathname}${location.search}`, bytes, 'application/octet-stream');
  }
  await put(`${repositoryOf(number)}/manifests/1`, manifest.bytes, MANIFEST);
}

async function put(path: string, body: Buffer, type: string): Promise<void> {
  const answer = await pool.request({ method: 'PUT', path, body, headers: { 'content-type': type } });
  const text = await answer.body.text();
  if (answer.statusCode !== 201) throw new Error(`${path}: ${answer.statusCode} ${text}`);
}

function repositoryOf(number: number): string {
  return `/v2/${task.prefix}small/${number}`;
}

function imageOf(number: number): { manifest: Content; config: Content; layer: Content } {
  const layer = contentOf(Buffer.alloc(task.layerBytes, hashOf(`layer ${number}`)));
  const config = contentOf(Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', number })));
  const describe = ({ digest, bytes }: Content, mediaType: string): object => ({
    mediaType,
    digest,
    size: bytes.length,
  });
  const manifest = {
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: describe(config, 'application/vnd.oci.image.config.v1+json'),
    layers: [describe(layer, 'application/vnd.oci.image.layer.v1.tar')],
  };
  return { manifest: contentOf(Buffer.from(JSON.stringify(manifest))), config, layer };
}

function contentOf(bytes: Buffer): Content {
  return { digest: digestOf(bytes), bytes };
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${hashOf(bytes).toString('hex')}`;
}

function hashOf(bytes: Uint8Array | string): Buffer {
  return createHash('sha256').update(bytes).digest();
}
