import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Daemon } from './daemon.ts';
import { get } from './http.ts';
import type { Namespace } from './network.ts';
import { toolPath } from './tools.ts';

/** One line of the registry's access log: a request it has answered to the end. */
export interface RequestRecord {
  readonly client: string;
  readonly method: string;
  /** Path and query as they came. */
  readonly path: string;
  readonly status: number;
  /** Of the answer's body. */
  readonly bytes: number;
  readonly userAgent: string;
}

export interface RegistryOptions {
  readonly namespace: Namespace;
  /** Where its content lies, or will lie. */
  readonly storage: string;
  /** For its configuration. */
  readonly directory: string;
  readonly logFile: string;
  /** Refuses pushes and deletions. */
  readonly readOnly?: boolean;
  /** Asks everybody for one of these, a line each: `user:bcrypt`. */
  readonly htpasswd?: string;
  readonly port?: number;
  /** Asks everybody for a token instead. */
  readonly tokens?: TokenAuth;
  /** Base URL of the registry that it is a pull-through cache of. */
  readonly upstream?: string;
}

/** Whose tokens a registry takes: https://distribution.github.io/distribution/about/configuration/#token */
export interface TokenAuth {
  readonly realm: string;
  readonly service: string;
  readonly issuer: string;
  /** File of the keys with which they are signed. */
  readonly jwks: string;
}

const PORT = 5000;

/** A CNCF distribution registry, open to everybody in plain HTTP. */
export class Registry implements AsyncDisposable {
  /** host:port */
  readonly address: string;
  readonly daemon: Daemon;

  constructor(address: string, daemon: Daemon) {
    this.address = address;
    this.daemon = daemon;
  }

  /** All requests so far, in the order in which they were finished. */
  async requests(): Promise<RequestRecord[]> {
    return (await this.daemon.log()).split('\n').flatMap(parseRequest);
  }

  /** The GETs of blobs so far; with a digest, of that blob only. */
  async blobReads(digest = ''): Promise<RequestRecord[]> {
    const requests = await this.requests();
    return requests.filter(({ method, path }) => method === 'GET' && path.includes(`/blobs/${digest}`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.daemon[Symbol.asyncDispose]();
  }
}

/** Starts a registry in a namespace, on port 5000 unless told otherwise, and waits until it answers. */
export async function startRegistry(options: RegistryOptions): Promise<Registry> {
  const { namespace, storage, directory, logFile, port = PORT } = options;
  const passwords = join(directory, `htpasswd-${port}`);
  await writeFile(passwords, options.htpasswd ?? '');
  const configuration = {
    version: '0.1',
    log: { level: 'error', accesslog: { disabled: false } },
    storage: {
      filesystem: { rootdirectory: storage },
      cache: { blobdescriptor: 'inmemory' },
      delete: { enabled: !(options.readOnly ?? false) },
      maintenance: { uploadpurging: { enabled: false }, readonly: { enabled: options.readOnly ?? false } },
    },
    http: { addr: `0.0.0.0:${port}`, secret: 'of one lab' },
    ...(options.htpasswd !== undefined && { auth: { htpasswd: { realm: 'lab', path: passwords } } }),
    ...(options.tokens && { auth: { token: options.tokens } }),
    ...(options.upstream !== undefined && { proxy: { remoteurl: options.upstream } }),
  };
  const file = join(directory, `registry-${port}.json`);
  // The registry reads YAML, and JSON is YAML.
  await writeFile(file, JSON.stringify(configuration));
  const daemon = await Daemon.start({
    argv: namespace.command([toolPath('registry'), 'serve', file]),
    logFile,
    env: { PATH: process.env['PATH'], OTEL_TRACES_EXPORTER: 'none' },
  });
  const registry = new Registry(`${namespace.address}:${port}`, daemon);
  try {
    const expected = options.htpasswd === undefined && options.tokens === undefined ? 200 : 401;
    await daemon.until('answering', async () => {
      return (await get(namespace, `http://127.0.0.1:${port}/v2/`)).status === expected;
    });
  } catch (error) {
    await registry[Symbol.asyncDispose]();
    throw error;
  }
  return registry;
}

/** The "combined" format: https://httpd.apache.org/docs/2.4/logs.html#combined */
const COMBINED =
  /^(?<client>\S+) \S+ \S+ \[[^\]]*\] "(?<method>[A-Z]+) (?<path>\S+) [^"]*" (?<status>\d+) (?<bytes>\d+) "[^"]*" "(?<agent>[^"]*)"/;

function parseRequest(line: string): RequestRecord[] {
  const { client, method, path, status, bytes, agent } = COMBINED.exec(line)?.groups ?? {};
  if (client === undefined || method === undefined || path === undefined) return [];
  return [{ client, method, path, status: Number(status), bytes: Number(bytes), userAgent: agent ?? '' }];
}
