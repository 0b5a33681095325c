/**
 * The client of all measurements, a process of its own: GETs one URL over as many connections as wanted. It reads into
 * one reused buffer, past Node's HTTP client, because it must be faster than any server here. The argument is a
 * `LoadRequest`, the output a `LoadResult`, both JSON.
 */
import { createHash } from 'node:crypto';
import { download } from './download.ts';
import type { LoadRequest, LoadResult } from './load.ts';

/** 64 KiB to 1 MiB cost the same processor time, as much as curl takes. */
const BUFFER_BYTES = 256 * 1024;

const request = JSON.parse(process.argv[2] ?? '') as LoadRequest;
const url = new URL(request.url);
const buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
const hash = request.verify === true ? createHash('sha256') : undefined;
const startedAt = performance.now();
const downloads = await Promise.all(
  Array.from({ length: request.connections }, async () => await download(url, { buffer, ...(hash && { hash }) })),
);
const result: LoadResult = {
  durationMs: performance.now() - startedAt,
  bytes: downloads.reduce((sum, { bytes }) => sum + bytes, 0),
  firstByteMs: downloads.map(({ firstByteMs }) => firstByteMs),
  ...(hash && { digest: `sha256:${hash.digest('hex')}` }),
};
process.stdout.write(JSON.stringify(result));
