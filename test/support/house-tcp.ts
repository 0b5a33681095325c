import type { Socket } from 'node:net';
import type { TlsOptions } from 'node:tls';
import { TcpListener } from './tcp-listener.ts';

/** What a scripted server does with a connection, given what came first over it. */
export type Script = (socket: Socket, request: string) => void | Promise<void>;

/** A TCP server that says what a test tells it to say, right or wrong. */
export class ScriptedServer implements AsyncDisposable {
  readonly #listener: TcpListener;
  readonly #scheme: string;
  /** What the clients sent first, in order of arrival. */
  readonly requests: string[] = [];
  /** Changed at any time; for the next connections. */
  script: Script;

  constructor(script: Script, tls?: TlsOptions) {
    this.script = script;
    this.#scheme = tls ? 'https' : 'http';
    this.#listener = new TcpListener((socket) => {
      socket.once('data', (data) => {
        const request = data.toString('latin1');
        this.requests.push(request);
        void this.script(socket, request);
      });
    }, tls);
  }

  get port(): number {
    return this.#listener.port;
  }

  get url(): URL {
    return new URL(`${this.#scheme}://127.0.0.1:${this.port}/circ/v1/read/sealed`);
  }

  /** Connections that are open now. */
  get connections(): number {
    return this.#listener.open;
  }

  async up(): Promise<this> {
    await this.#listener.listen('127.0.0.1');
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#listener[Symbol.asyncDispose]();
  }
}

/** Starts one: `await using server = await scripted((socket) => socket.end('nonsense'))`. */
export async function scripted(script: Script, tls?: TlsOptions): Promise<ScriptedServer> {
  return await new ScriptedServer(script, tls).up();
}

/** The head of a good answer to a signed read. */
export function headOf(lengthBytes: number, status = '206 Partial Content'): string {
  return `HTTP/1.1 ${status}\r\ncontent-type: application/octet-stream\r\ncontent-length: ${lengthBytes}\r\n\r\n`;
}

/** First and last byte of a request's Range header. */
export function rangeIn(request: string): { first: number; last: number } {
  const match = /^range: bytes=(\d+)-(\d+)\r$/im.exec(request);
  return { first: Number(match?.[1]), last: Number(match?.[2]) };
}
