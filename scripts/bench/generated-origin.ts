/**
 * A registry, as a process of its own, whose blobs are made up as they are read, and whose connections can be slow.
 * The argument is a `GeneratedOriginRequest`, the first line of its output a `GeneratedOriginReady`, both JSON.
 */
import { generatedBlob } from '../../test/support/blobs.ts';
import { startOrigin } from '../../test/support/origin.ts';
import type { GeneratedOriginReady, GeneratedOriginRequest } from './origins.ts';
import { REPOSITORY } from './storage.ts';

const { blobs, mood } = JSON.parse(process.argv[2] ?? '') as GeneratedOriginRequest;
const origin = await startOrigin({ mood });
const digests: string[] = [];
for (const { sizeBytes, seed } of blobs) {
  digests.push((await origin.addBlob(REPOSITORY, generatedBlob(sizeBytes, seed))).digest);
}
const ready: GeneratedOriginReady = { url: origin.url, digests };
process.stdout.write(`${JSON.stringify(ready)}\n`);
