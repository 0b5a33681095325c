/**
 * The client of the measurements of small requests, a process of its own: asks for one URL again and again over kept
 * connections, each as soon as it has been answered. Past Node's HTTP client, because it must be faster than any server
 * here. The argument is a `RateRequest`, the output a `RateResult`, both JSON.
 */
import { connect } from 'node:net';
import type { RateRequest, RateResult } from './rate.ts';

const request = JSON.parse(process.argv[2] ?? '') as RateRequest;
const { host, hostname, port, pathname, search } = new URL(request.url);
const lines = Object.entries({ host, ...request.headers }).map(([name, value]) => `${name}: ${value}\r\n`);
const bytes = Buffer.from(`${request.method} ${pathname}${search} HTTP/1.1\r\n${lines.join('')}\r\n`);
let isOver = false;
let requests = 0;
const startedAt = performance.now();
setTimeout(() => (isOver = true), request.durationMs);
await Promise.all(Array.from({ length: request.connections }, ask));
const result: RateResult = { requests, durationMs: performance.now() - startedAt };
process.stdout.write(JSON.stringify(result));

/** One connection. @throws when an answer is not 200 */
async function ask(): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  let came: Buffer = Buffer.alloc(0);
  socket.on('connect', () => socket.write(bytes));
  socket.on('error', reject);
  socket.on('close', () => reject(new Error('the connection was closed')));
  socket.on('data', (chunk: Buffer) => {
    came = came.length === 0 ? chunk : Buffer.concat([came, chunk]);
    const end = came.indexOf('\r\n\r\n');
    if (end === -1) return;
    const head = came.toString('latin1', 0, end);
    const length = request.method === 'HEAD' ? 0 : Number(/^content-length: *(\d+)/im.exec(head)?.[1]);
    if (!head.startsWith('HTTP/1.1 200') || !Number.isInteger(length)) {
      reject(new Error(`no manifest but: ${head}`));
      socket.destroy();
      return;
    }
    if (came.length < end + 4 + length) return;
    came = came.subarray(end + 4 + length);
    requests += 1;
    if (!isOver) {
      socket.write(bytes);
      return;
    }
    resolve();
    socket.destroy();
  });
  await promise;
}
