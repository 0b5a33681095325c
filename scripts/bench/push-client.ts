/**
 * Pushes one blob, as a process of its own: a POST, and a PUT of all its bytes. Arguments: the address of the uploads, the
 * blob's size, a seed. Writes the digest, and the seconds from the first byte to the answer.
 */
import { type IncomingMessage, request } from 'node:http';
import { Readable } from 'node:stream';
import { generatedBlob } from '../../test/support/blobs.ts';

const [uploads = '', size = '', seed = ''] = process.argv.slice(2);
const blob = generatedBlob(Number(size), Number(seed));
const digest = await blob.digest();

/** By `node:http`: the standard's `fetch` does not go to the tier's port. */
async function send(
  method: string,
  to: URL,
  headers: Record<string, number>,
  body: Iterable<Buffer>,
): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const outgoing = request(to, { method, headers });
  outgoing.on('error', reject);
  outgoing.on('response', resolve);
  Readable.from(body, { objectMode: false }).pipe(outgoing);
  return await promise;
}

const begun = await send('POST', new URL(uploads), { 'content-length': 0 }, []);
const { location } = begun.headers;
if (begun.statusCode !== 202 || location === undefined) throw new Error(`POST: ${begun.statusCode}`);
const url = new URL(location, uploads);
url.searchParams.set('digest', digest);

const startedAt = performance.now();
const length = { 'content-length': blob.sizeBytes };
const { statusCode } = await send('PUT', url, length, blob.pieces(0, blob.sizeBytes));
if (statusCode !== 201) throw new Error(`PUT: ${statusCode}`);
process.stdout.write(`${digest} ${(performance.now() - startedAt) / 1000}\n`);
process.exit();
