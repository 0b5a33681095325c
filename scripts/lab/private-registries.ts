import { generateKeyPairSync } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Daemon } from './daemon.ts';
import { get } from './http.ts';
import { images } from './images.ts';
import type { Network } from './network.ts';
import { repositoryRoot } from './paths.ts';
import { type Registry, startRegistry } from './registry.ts';
import type { TokenRequest, TokenService } from './token-service.ts';

/** How a registry is asked who somebody is: by his password, or by a token of its token service. */
export const auths = ['Basic', 'token'] as const;
export type Auth = (typeof auths)[number];

/** Who may pull everything. */
export const PULLER = { username: 'puller', password: 's3cret' } as const;
/** bcrypt of the password, with the least work. */
const HTPASSWD = `${PULLER.username}:$2a$04$RYRewAFrkvJ/KKrJ1lsGfeeCgoyZSGgAwllvTiCrjQHW/y3jSKyUK\n`;

const TOKEN_PORT = 5001;
const ISSUER = 'lab';
const SERVICE = 'registry of the lab';
const KEY_ID = 'of one lab';

export interface PrivateRegistriesOptions {
  readonly network: Network;
  /** Of the images. */
  readonly storage: string;
  /** For configurations and keys. */
  readonly directory: string;
  readonly logs: string;
}

/** The same images at two registries that ask who somebody is, each at its own address. */
export class PrivateRegistries implements AsyncDisposable {
  readonly #registries: Readonly<Record<Auth, Registry>>;
  readonly #tokens: Daemon;
  readonly #running: AsyncDisposable;

  private constructor(registries: Readonly<Record<Auth, Registry>>, tokens: Daemon, running: AsyncDisposable) {
    this.#registries = registries;
    this.#tokens = tokens;
    this.#running = running;
  }

  static async start({ network, storage, directory, logs }: PrivateRegistriesOptions): Promise<PrivateRegistries> {
    await using stack = new AsyncDisposableStack();
    const common = { storage, readOnly: true };
    const places = { Basic: join(directory, 'basic'), token: join(directory, 'token') };
    for (const place of Object.values(places)) await mkdir(place, { recursive: true });
    const basic = stack.use(
      await startRegistry({
        ...common,
        namespace: await network.attach('basic'),
        directory: places.Basic,
        logFile: join(logs, 'origin-basic.log'),
        htpasswd: HTPASSWD,
      }),
    );

    const namespace = await network.attach('token');
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const [keyFile, jwks] = [join(places.token, 'key.pem'), join(places.token, 'jwks.json')];
    await writeFile(keyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    const jwk = { ...publicKey.export({ format: 'jwk' }), kid: KEY_ID, use: 'sig', alg: 'ES256' };
    await writeFile(jwks, JSON.stringify({ keys: [jwk] }));
    const task: TokenService = {
      port: TOKEN_PORT,
      issuer: ISSUER,
      service: SERVICE,
      keyFile,
      keyId: KEY_ID,
      user: { name: PULLER.username, password: PULLER.password },
      open: [images.multi.split(':', 1).join()],
    };
    const program = join(repositoryRoot, 'scripts/lab/token-service.ts');
    const tokens = stack.use(
      await Daemon.start({
        argv: namespace.command([process.execPath, program, JSON.stringify(task)]),
        logFile: join(logs, 'token-service.log'),
      }),
    );
    await tokens.until('answering', async () => {
      return (await get(namespace, `http://127.0.0.1:${TOKEN_PORT}/`)).status === 200;
    });
    const token = stack.use(
      await startRegistry({
        ...common,
        namespace,
        directory: places.token,
        logFile: join(logs, 'origin-token.log'),
        tokens: { realm: `http://${namespace.address}:${TOKEN_PORT}/token`, service: SERVICE, issuer: ISSUER, jwks },
      }),
    );
    return new PrivateRegistries({ Basic: basic, token }, tokens, stack.move());
  }

  /** The registry itself. */
  of(auth: Auth): Registry {
    return this.#registries[auth];
  }

  /** Writes an origins file that knows them by these names. */
  async writeOrigins(file: string, names: Readonly<Record<string, Auth>>): Promise<void> {
    const tokenHosts = [this.of('token').address.replace(/:\d+$/, `:${TOKEN_PORT}`)];
    const registries = Object.entries(names).map(([name, auth]) => {
      const endpoint = `http://${this.of(auth).address}`;
      return [name, { endpoint, ...(auth === 'token' && { tokenHosts }) }];
    });
    // YAML is read, and JSON is YAML.
    await writeFile(file, JSON.stringify({ registries: Object.fromEntries(registries) }));
  }

  /** All requests for tokens so far. */
  async tokenRequests(): Promise<TokenRequest[]> {
    const lines = (await this.#tokens.log()).split('\n').filter((line) => line.startsWith('{'));
    return lines.map((line) => JSON.parse(line) as TokenRequest);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running[Symbol.asyncDispose]();
  }
}
