import type { Hash } from 'node:crypto';
import { connect } from 'node:net';

export interface DownloadOptions {
  /** What is read goes here and is thrown away; may be shared by downloads. */
  readonly buffer: Buffer;
  /** Gets the bytes of the body. */
  readonly hash?: Hash;
}

export interface Download {
  /** Of the body. */
  readonly bytes: number;
  /** From before the connection was made to the first byte of the body. */
  readonly firstByteMs: number;
}

const MAX_HEAD_BYTES = 64 * 1024;

/** GETs a URL over a connection of its own and throws the body away. @throws when the answer is not 200 and whole */
export async function download(url: URL, { buffer, hash }: DownloadOptions): Promise<Download> {
  const { promise, resolve, reject } = Promise.withResolvers<Download>();
  const answer = new Answer(hash);
  const socket = connect({
    host: url.hostname,
    port: Number(url.port),
    onread: {
      buffer,
      callback: (length) => {
        try {
          if (answer.take(buffer.subarray(0, length))) resolve(answer);
          else return true;
        } catch (error) {
          reject(error);
        }
        socket.destroy();
        return false;
      },
    },
  });
  socket.on('error', reject);
  socket.on('close', () => reject(new Error(`broke off after ${answer.bytes} bytes`)));
  const path = `${url.pathname}${url.search}`;
  socket.write(`GET ${path} HTTP/1.1\r\nhost: ${url.host}\r\naccept: */*\r\nconnection: close\r\n\r\n`);
  return await promise;
}

/** Counts one answer. */
class Answer implements Download {
  bytes = 0;
  firstByteMs = 0;
  readonly #hash: Hash | undefined;
  readonly #startedAt = performance.now();
  /** What has come of the head; undefined once it is whole. */
  #head: Buffer | undefined = Buffer.alloc(0);
  #lengthBytes = 0;

  constructor(hash: Hash | undefined) {
    this.#hash = hash;
  }

  /** @returns whether that was the last of it. @throws when the answer is not 200 with a length */
  take(bytes: Buffer): boolean {
    const body = this.#head ? this.#takeHead(Buffer.concat([this.#head, bytes])) : bytes;
    if (body.length > 0 && this.bytes === 0) this.firstByteMs = performance.now() - this.#startedAt;
    this.bytes += body.length;
    this.#hash?.update(body);
    return this.#head === undefined && this.bytes >= this.#lengthBytes;
  }

  /** @returns the part of it that is body already */
  #takeHead(head: Buffer): Buffer {
    const end = head.indexOf('\r\n\r\n');
    if (end === -1) {
      if (head.length > MAX_HEAD_BYTES) throw new Error('the answer is no HTTP');
      this.#head = head;
      return Buffer.alloc(0);
    }
    const text = head.toString('latin1', 0, end);
    const length = /^content-length: *(\d+)/im.exec(text)?.[1];
    if (!text.startsWith('HTTP/1.1 200') || length === undefined) throw new Error(`no blob but: ${text}`);
    this.#lengthBytes = Number(length);
    this.#head = undefined;
    return head.subarray(end + 4);
  }
}
