import { readFileSync, statSync } from 'node:fs';
import { Authorization, type BasicCredentials } from '../../oci/authorization.ts';
import { DOCKER_HUB } from '../../oci/reference.ts';
import type { Credential } from './credential.ts';
import type { Origin } from './origin.ts';

/** Under which names Docker's tools keep the credentials of Docker Hub. */
const DOCKER_HUB_KEYS = ['https://index.docker.io/v1/', 'index.docker.io', 'registry-1.docker.io'];

/**
 * The operator's own credentials for one registry. Content is fetched with them, and nothing else: what a caller may
 * read is found out with its own. The file is read again when it has changed, because such secrets are rotated.
 */
export class OperatorCredential {
  readonly #path: string;
  readonly #origin: Origin;
  readonly #failed: (error: unknown) => void;
  #state = '';
  #version = 0;
  #credential: Credential | undefined;

  /** @param failed the file cannot be read or understood now; the credentials it had before stay in use */
  constructor(path: string, origin: Origin, failed: (error: unknown) => void) {
    this.#path = path;
    this.#origin = origin;
    this.#failed = failed;
  }

  /** As they are now; undefined when the file was never readable. */
  credential(): Credential | undefined {
    try {
      const { mtimeMs, size, ino } = statSync(this.#path);
      const state = `${mtimeMs} ${size} ${ino}`;
      if (state === this.#state) return this.#credential;
      this.#state = state;
      this.#version += 1;
      const authorization = Authorization.basic(readCredentials(this.#path, this.#origin));
      this.#credential = { key: `operator ${this.#version}`, authorization, mayBeAsked: false };
    } catch (error) {
      this.#failed(error);
    }
    return this.#credential;
  }
}

/**
 * Reads `{"username": …, "password": …}`, or the form of Docker's config.json: `{"auths": {REGISTRY: {"auth": BASE64}}}`,
 * also with `username` and `password`, or `identitytoken`.
 *
 * @throws Error with what is expected; never with what the file says
 */
export function readCredentials(path: string, origin: Pick<Origin, 'registry' | 'endpoint'>): BasicCredentials {
  const document = documentIn(path);
  const auths = isRecord(document) && isRecord(document['auths']) ? document['auths'] : undefined;
  const entries = auths ? keysOf(origin).map((key) => auths[key]) : [document];
  const credentials = entries.map(basicIn).find((each) => each !== undefined);
  if (credentials) return credentials;
  throw new Error('expected a file with {"username": …, "password": …}, or with "auths" that name the registry');
}

/** Undefined when there is none. What the parser says of it is told nobody: it quotes the text, which is secret. */
function documentIn(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}

function keysOf({ registry, endpoint }: Pick<Origin, 'registry' | 'endpoint'>): string[] {
  const hosts = [registry, endpoint.host];
  return [...hosts, ...hosts.map((host) => `https://${host}`), ...(registry === DOCKER_HUB ? DOCKER_HUB_KEYS : [])];
}

function basicIn(entry: unknown): BasicCredentials | undefined {
  if (!isRecord(entry)) return undefined;
  const { username, password, auth, identitytoken: identityToken } = entry;
  if (typeof identityToken === 'string' && identityToken !== '')
    return { username: '<token>', password: identityToken };
  if (typeof username === 'string' && typeof password === 'string') return { username, password };
  const [name, ...secret] = typeof auth === 'string' ? Buffer.from(auth, 'base64').toString().split(':') : [];
  return name === undefined || secret.length === 0 ? undefined : { username: name, password: secret.join(':') };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
