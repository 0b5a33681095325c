import { once } from 'node:events';
import { connect } from 'node:net';
import { digestOf } from '../../oci/digest.ts';
import type { OciError } from '../../oci/error.ts';
import type { ListRequest } from '../../oci/request.ts';
import { parseRegistry } from '../../oci/reference.ts';
import type { RequestReport } from '../../service/exchange.ts';
import { listenOn } from '../../service/listen.ts';
import { createOciServer } from '../../service/oci-server.ts';
import type { OciSource } from '../../service/oci-source.ts';
import { type AskOptions, ask } from '../support/origin-client.ts';

export const BYTES = Buffer.from('0123456789');
export const DIGEST = digestOf(BYTES);
export const MANIFEST = Buffer.from('{"schemaVersion":2}');
export const MANIFEST_DIGEST = digestOf(MANIFEST);
export const TYPE = 'application/vnd.oci.image.manifest.v1+json';
export const BLOB = `/v2/org/app/blobs/${DIGEST}`;
export const TAG = '/v2/org/app/manifests/v1';

/** A source that has one manifest and one blob, whatever is asked for. */
class OneOfEach implements OciSource {
  open = 0;
  sizeBytes = BYTES.length;
  fail: OciError | undefined;
  next: string | undefined;
  filters: string | undefined;
  chunk: () => AsyncIterable<Buffer> = async function* () {
    yield BYTES;
  };

  async manifest() {
    if (this.fail) throw this.fail;
    const descriptor = { mediaType: TYPE, digest: MANIFEST_DIGEST, sizeBytes: MANIFEST.length };
    return { descriptor, outcome: 'tier-hit' as const, content: MANIFEST };
  }

  async list({ subject, query }: ListRequest) {
    if (this.fail) throw this.fail;
    const asked = { subject, query: query.toString() };
    return { content: Buffer.from(JSON.stringify(asked)), next: this.next, filters: this.filters };
  }

  async statBlob() {
    if (this.fail) throw this.fail;
    return { sizeBytes: BYTES.length, outcome: 'origin' as const };
  }

  async openBlob() {
    if (this.fail) throw this.fail;
    this.open += 1;
    const { sizeBytes } = this;
    const chunks = this.chunk();
    return {
      sizeBytes,
      outcome: 'node-hit' as const,
      async *chunks({ start, end }: { start: number; end: number }) {
        for await (const bytes of chunks) yield { bytes: bytes.subarray(start, end), release: () => undefined };
      },
      [Symbol.asyncDispose]: async () => {
        this.open -= 1;
      },
    };
  }
}

/** A server over such a source, and clients of it. */
export async function servingOneOfEach() {
  const source = new OneOfEach();
  const report: RequestReport[] = [];
  const names = { default: parseRegistry('docker.io'), isListed: () => false };
  const app = createOciServer({ source, names, report: (each) => report.push(each) });
  const { port } = await listenOn(app, { host: '127.0.0.1', port: 0 });
  return {
    source,
    report,
    port,
    ask: (target: string, options: AskOptions = {}) => ask(`http://127.0.0.1:${port}`, { target, ...options }),
    raw: (text: string) => raw(port, text),
    [Symbol.asyncDispose]: () => app.close(),
  };
}

/** Sends bytes as they are and returns all that comes until the server ends the connection. */
async function raw(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  const pieces: Buffer[] = [];
  socket.on('data', (piece: Buffer) => pieces.push(piece));
  socket.on('error', () => undefined);
  socket.write(text);
  await once(socket, 'close');
  return Buffer.concat(pieces).toString('latin1');
}

/** A request on the wire. */
export function requestText(path: string, more = ''): string {
  return `GET ${path} HTTP/1.1\r\nhost: x\r\n${more}\r\n`;
}

/** The code in an error body. */
export function codeIn(body: Buffer | string): string {
  return (JSON.parse(body.toString()) as { errors: { code: string }[] }).errors[0]?.code ?? '';
}
