import { LRUCache } from 'lru-cache';
import type { Dispatcher } from 'undici';
import { hostOf } from '../../service/units.ts';
import type { Registry } from '../../oci/reference.ts';
import type { AddressGuard } from './address-guard.ts';
import { createDispatcher } from './dispatcher.ts';
import { OperatorCredential } from './operator-credential.ts';
import type { Origin, Origins, Unlisted } from './origin.ts';
import { OriginHttp } from './origin-http.ts';
import { Pace } from './pace.ts';
import { PushClient } from './push-client.ts';
import { PushHttp } from './push-http.ts';
import { RegistryClient } from './registry-client.ts';
import type { ObserveOrigin } from './response.ts';
import { Slots } from '../slots.ts';

/** All that is needed to talk to one registry. */
export interface OriginClient {
  readonly origin: Origin;
  readonly registry: RegistryClient;
  readonly pusher: PushClient;
  /** Limits downloads, if the operator wants that. */
  readonly pace: Pace | undefined;
  /** With which the operator wants content fetched; never used to find out what a caller may read. */
  readonly operator: OperatorCredential | undefined;
}

export interface OriginClientsOptions {
  readonly origins: Origins;
  readonly guard: AddressGuard;
  readonly proxy: string | undefined;
  readonly observe: ObserveOrigin;
  /** A registry is not served as it could be, because the operator has not listed something of it. */
  readonly unlisted: (registry: Registry, unlisted: Unlisted) => void;
  /** The operator's credentials for the registry cannot be read now. */
  readonly credentialsFailed: (registry: Registry, error: unknown) => void;
  /** See `DispatcherOptions`. */
  readonly silenceMs?: number;
  /** See `OriginHttpOptions`. */
  readonly patienceMs?: number;
}

/** Registries whose connections and tokens are kept; the least recently asked one is given up for a new one. */
const MAX_ORIGINS = 256;

/** One client per registry, made when it is first asked. */
export class OriginClients implements AsyncDisposable {
  readonly #options: OriginClientsOptions;
  readonly #clients: LRUCache<Registry, { client: OriginClient; dispatchers: Set<Dispatcher> }>;

  constructor(options: OriginClientsOptions) {
    this.#options = options;
    this.#clients = new LRUCache({
      // What is given up is not closed: a fetch may still need it, and its idle connections end by themselves.
      max: MAX_ORIGINS,
    });
  }

  /** @throws OciError NAME_UNKNOWN when the registry may not be reached */
  get(registry: Registry): OriginClient {
    const known = this.#clients.get(registry);
    if (known) return known.client;
    const made = this.#create(this.#options.origins.get(registry));
    this.#clients.set(registry, made);
    return made.client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const all = [...this.#clients.values()].flatMap(({ dispatchers }) => [...dispatchers]);
    await Promise.all(all.map((dispatcher) => dispatcher.destroy()));
  }

  #create(origin: Origin): { client: OriginClient; dispatchers: Set<Dispatcher> } {
    const { guard, proxy, observe, unlisted, credentialsFailed, silenceMs, patienceMs } = this.#options;
    const { questions, bodies } = shareOut(origin.maxConnections);
    const shared = { origin, guard, proxy, silenceMs };
    const bulk = createDispatcher({ ...shared, connections: bodies });
    const control = questions === 0 ? bulk : createDispatcher({ ...shared, connections: questions });
    const questionsAtOnce = questions === 0 ? origin.maxConnections : questions;
    // What waits for a connection waits here, where repositories take turns, and not in the dispatcher's queue.
    const turns = new Slots({ slots: bodies, spare: bodies < 3 ? 0 : 1 });
    const { endpoint } = origin;
    const isOwn = (host: string): boolean =>
      !origin.isTrusted(endpoint) && (host === endpoint.host || host === hostOf(endpoint));
    const told = (what: Unlisted): void =>
      unlisted(origin.registry, what.key === 'redirectHosts' && isOwn(what.host) ? { ...what, key: 'endpoint' } : what);
    const wire = { origin, guard, bulk, turns, control, questionsAtOnce, observe, unlisted: told, patienceMs };
    const registry = new RegistryClient(new OriginHttp(wire));
    const pusher = new PushClient(new PushHttp(wire));
    const pace = origin.bandwidthBytesPerSecond === undefined ? undefined : new Pace(origin.bandwidthBytesPerSecond);
    const { credentialsFile } = origin;
    const failed = (error: unknown): void => credentialsFailed(origin.registry, error);
    const operator =
      credentialsFile === undefined ? undefined : new OperatorCredential(credentialsFile, origin, failed);
    return { client: { origin, registry, pusher, pace, operator }, dispatchers: new Set([bulk, control]) };
  }
}

/** A quarter of the connections is for questions, which must not wait behind bytes; a single one has to do for both. */
function shareOut(maxConnections: number): { questions: number; bodies: number } {
  const questions = maxConnections === 1 ? 0 : Math.max(1, Math.floor(maxConnections / 4));
  return { questions, bodies: maxConnections - questions };
}
