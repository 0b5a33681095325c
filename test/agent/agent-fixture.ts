import { Admission, type AdmissionPolicy } from '../../agent/admission.ts';
import { AgentSource } from '../../agent/agent-source.ts';
import { Fills } from '../../agent/fills.ts';
import { Grants } from '../../agent/grants.ts';
import { Relay } from '../../agent/relay.ts';
import { TierClient } from '../../agent/tier-client.ts';
import type { Chunks } from '../../content/chunk.ts';
import type { DiskStoreOptions } from '../../content/disk-store.ts';
import type { Authorization } from '../../oci/authorization.ts';
import { type Digest, digestOf } from '../../oci/digest.ts';
import type { OciError } from '../../oci/error.ts';
import type { RangeRequest } from '../../oci/range.ts';
import { parseRegistry, parseRepository } from '../../oci/reference.ts';
import type { BlobRequest, ManifestRequest } from '../../oci/request.ts';
import { diskStore } from '../content/fixtures.ts';
import { generatedBlob, readBytes } from '../support/blobs.ts';
import { headOf, rangeIn, scripted } from '../support/house-tcp.ts';
import { scriptedTier } from '../support/house-tier.ts';

export const BYTES = readBytes(generatedBlob(1_000_000));
export const DIGEST = digestOf(BYTES);
export const MANIFEST = Buffer.from('{"schemaVersion":2}');
export const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';
export const MANIFEST_DIGEST = digestOf(MANIFEST);
const REGISTRY = parseRegistry('registry.test');
export const NEVER = new AbortController().signal;
export const GRANT = { token: Buffer.from('sealed'), validForMs: 60_000 };
export const LAYER = { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: DIGEST, size: BYTES.length };
export const NAMED = { mediaType: MANIFEST_TYPE, digest: MANIFEST_DIGEST, size: MANIFEST.length };

export function blobRequest(range?: RangeRequest, repository = 'org/app', authorization?: Authorization): BlobRequest {
  const place = { registry: REGISTRY, repository: parseRepository(repository, REGISTRY) };
  return { kind: 'blob', ...place, form: 'ns', authorization, digest: DIGEST, range };
}

export function manifestRequest(by: Digest | 'v1', authorization?: Authorization): ManifestRequest {
  const reference = by === 'v1' ? ({ kind: 'tag', tag: 'v1' } as const) : ({ kind: 'digest', digest: by } as const);
  const { registry, repository, form } = blobRequest();
  const target = { registry, repository, form, authorization };
  return { kind: 'manifest', ...target, reference, accept: [], ifNoneMatch: [], range: undefined, ifRange: undefined };
}

export async function agent(admit: AdmissionPolicy, options: Partial<DiskStoreOptions> = {}) {
  await using parts = new AsyncDisposableStack();
  const disk = parts.use(await diskStore(options));
  const reads = parts.use(
    await scripted((socket, request) => {
      const { first, last } = rangeIn(request);
      socket.write(headOf(last + 1 - first));
      socket.end(BYTES.subarray(first, last + 1));
    }),
  );
  const tier = parts.use(
    await scriptedTier({
      openBlob: ({ statOnly }) => ({ size: BYTES.length, readUrl: statOnly ? '' : reads.url.href, grant: GRANT }),
      resolveManifest: () => ({
        manifest: NAMED,
        content: MANIFEST,
        readable: [LAYER],
        grant: GRANT,
        fromOrigin: true,
      }),
    }),
  );
  const client = parts.use(new TierClient(tier.address));
  const grants = new Grants();
  const relay = new Relay({ tier: client, pool: disk.pool });
  const failures: OciError[] = [];
  const fills = parts.use(new Fills({ store: disk.store, relay, failed: (_digest, error) => failures.push(error) }));
  const admission = new Admission(admit);
  const storeFailed = (error: OciError): number => failures.push(error);
  const source = new AgentSource({ tier: client, store: disk.store, grants, admission, relay, fills, storeFailed });
  const get = async (request = blobRequest()): Promise<{ outcome: string; bytes: Buffer }> => {
    await using blob = await source.openBlob(request, { signal: NEVER });
    const { range } = request;
    const start = range && 'first' in range ? range.first : 0;
    const bytes = await collect(blob.chunks({ start, end: blob.sizeBytes }, { signal: NEVER }));
    return { outcome: blob.outcome, bytes };
  };
  const all = parts.move();
  return { ...disk, source, tier, reads, failures, get, [Symbol.asyncDispose]: () => all[Symbol.asyncDispose]() };
}

export async function collect(chunks: Chunks): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const chunk of chunks) {
    pieces.push(Buffer.from(chunk.bytes));
    chunk.release();
  }
  return Buffer.concat(pieces);
}
