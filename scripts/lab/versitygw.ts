import { mkdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { BucketConfig } from '../../shared-tier/store/bucket.ts';
import { Daemon } from './daemon.ts';
import { get } from './http.ts';
import type { Namespace } from './network.ts';
import { toolPath } from './tools.ts';

const BUCKET = 'circ-lab';
/** In a namespace, where all ports are free. */
const PORT = 7070;
const CREDENTIALS = { accessKeyId: 'lab-access-key', secretAccessKey: 'lab-secret-key' };

/** A real S3-compatible server (https://github.com/versity/versitygw) over a directory, with one bucket. */
export class VersityGateway implements AsyncDisposable {
  readonly url: string;
  readonly daemon: Daemon;

  private constructor(url: string, daemon: Daemon) {
    this.url = url;
    this.daemon = daemon;
  }

  /** @param namespace where it runs, at its address; beside this process, on loopback, if there is none */
  static async start(directory: string, logFile: string, namespace?: Namespace): Promise<VersityGateway> {
    await mkdir(join(directory, BUCKET), { recursive: true });
    const address = namespace ? `${namespace.address}:${PORT}` : `127.0.0.1:${await freePort()}`;
    const { accessKeyId, secretAccessKey } = CREDENTIALS;
    const gateway = [
      '--port',
      address,
      '--access',
      accessKeyId,
      '--secret',
      secretAccessKey,
      '--keep-alive',
      '--quiet',
    ];
    const argv = [toolPath('versitygw'), ...gateway, 'posix', directory];
    const daemon = await Daemon.start({ argv: namespace?.command(argv) ?? argv, logFile });
    const url = `http://${address}`;
    try {
      await daemon.until('answering', async () => (await statusOf(url, namespace)) > 0);
    } catch (error) {
      await daemon[Symbol.asyncDispose]();
      throw error;
    }
    return new VersityGateway(url, daemon);
  }

  /** How a client comes here. */
  config(prefix: string): BucketConfig {
    const { url: endpoint } = this;
    return {
      bucket: BUCKET,
      prefix,
      endpoint,
      region: 'us-east-1',
      pathStyle: true,
      ca: undefined,
      credentials: CREDENTIALS,
    };
  }

  /** The same for the environment of a shared tier. @param prefix without a slash at its end */
  env(prefix: string): Record<string, string> {
    return {
      CIRC_TIER_STORE: `s3://${BUCKET}/${prefix}`,
      AWS_ENDPOINT_URL: this.url,
      AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
      AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.daemon[Symbol.asyncDispose]();
  }
}

async function statusOf(url: string, namespace: Namespace | undefined): Promise<number> {
  return namespace ? (await get(namespace, url)).status : (await fetch(url)).status;
}

/** Free a moment ago; the server cannot be asked for the one that it would choose itself. */
async function freePort(): Promise<number> {
  const server = createServer();
  const listening = Promise.withResolvers<undefined>();
  server.listen(0, '127.0.0.1', () => listening.resolve(undefined));
  await listening.promise;
  const { port } = server.address() as AddressInfo;
  const closed = Promise.withResolvers<undefined>();
  server.close(() => closed.resolve(undefined));
  await closed.promise;
  return port;
}
