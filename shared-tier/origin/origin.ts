import { DOCKER_HUB, type Registry, parseRegistry } from '../../oci/reference.ts';
import { OciError } from '../../oci/error.ts';
import type { ListedRegistry, OriginsFile } from '../../service/origins-file.ts';
import { isPublicName } from './address-guard.ts';

/** A registry that may be reached, and under which conditions. */
export interface Origin {
  readonly registry: Registry;
  readonly endpoint: URL;
  /** PEM text trusted besides the system's. */
  readonly ca: string | undefined;
  /** Of the operator; see `OperatorCredential`. */
  readonly credentialsFile: string | undefined;
  readonly tagTtlMs: number;
  readonly maxConnections: number;
  readonly bandwidthBytesPerSecond: number | undefined;
  /** It is listed, or the default: clients that name registries in paths may be asked for their secrets for it. */
  readonly isNamedByOperator: boolean;
  /** May be pushed to, by who has the right to at the registry itself. */
  readonly takesPushes: boolean;
  /** May a token realm point at this host, besides those of the registry's own domain? */
  readonly isTokenHost: (url: URL) => boolean;
  /** May this be dialled though its address is private, and over plain http? Only what the operator wrote down. */
  readonly isTrusted: (url: URL) => boolean;
  /** For metrics: the name, or `other`, so that requests cannot make up label values. */
  readonly label: string;
}

/** What an entry of the origins file does not have: its own address (`endpoint`), or a host that it leads to. */
export interface Unlisted {
  readonly key: 'endpoint' | 'redirectHosts' | 'tokenHosts';
  readonly host: string;
}

const WELL_KNOWN = new Set([
  'docker.io',
  'ghcr.io',
  'quay.io',
  'gcr.io',
  'registry.k8s.io',
  'public.ecr.aws',
  'mcr.microsoft.com',
  'nvcr.io',
  'registry.gitlab.com',
  'registry.access.redhat.com',
]);
const OTHER = 'other';
const DOCKER_HUB_ENDPOINT = new URL('https://registry-1.docker.io');
const DOCKER_HUB_TOKEN_HOST = 'auth.docker.io';

const UNLISTED: ListedRegistry = { tokenHosts: [], redirectHosts: [], tagTtl: 0, maxConnections: 16 };

/** The origins file as answers to "may this registry be reached, and how?". */
export class Origins {
  readonly #file: OriginsFile;
  readonly #cas: ReadonlyMap<Registry, string>;
  readonly #allow: RegExp[];
  readonly #deny: RegExp[];

  /** @param cas PEM text of the registries that have a `ca` */
  constructor(file: OriginsFile, cas: ReadonlyMap<Registry, string> = new Map()) {
    this.#file = file;
    this.#cas = cas;
    this.#allow = file.allow.map(globToRegExp);
    this.#deny = file.deny.map(globToRegExp);
  }

  /** Every `label` that there can be. */
  get labels(): readonly string[] {
    return [...new Set([...this.#file.registries.keys(), ...WELL_KNOWN, OTHER])];
  }

  /** @throws OciError NAME_UNKNOWN when it may not be reached: the client then asks the registry itself */
  get(registry: Registry): Origin {
    const listed = this.#file.registries.get(registry);
    const denied = this.#deny.some((glob) => glob.test(registry)) || !this.#allow.some((glob) => glob.test(registry));
    const [host = '', port] = registry.split(':');
    const reachable =
      listed?.endpoint !== undefined || (isPublicName(host) && (listed !== undefined || port === undefined));
    if (denied || !reachable) throw new OciError('NAME_UNKNOWN', 'this registry is not served here');
    return this.#origin(registry, listed ?? UNLISTED, listed !== undefined);
  }

  #origin(registry: Registry, entry: ListedRegistry, isListed: boolean): Origin {
    const isHub = registry === DOCKER_HUB;
    const endpoint = entry.endpoint ?? (isHub ? DOCKER_HUB_ENDPOINT : new URL(`https://${registry}`));
    const own = entry.endpoint ? [`${entry.endpoint.hostname}:${portOf(entry.endpoint)}`] : [];
    const listed = [...entry.redirectHosts, ...entry.tokenHosts].map((host) => host.toLowerCase());
    const trusted = [...own, ...listed];
    const tokenHosts = [
      ...entry.tokenHosts.map((host) => host.toLowerCase()),
      ...(isHub ? [DOCKER_HUB_TOKEN_HOST] : []),
    ];
    return {
      registry,
      endpoint,
      ca: this.#cas.get(registry),
      credentialsFile: entry.credentialsFile,
      tagTtlMs: entry.tagTtl,
      maxConnections: entry.maxConnections,
      bandwidthBytesPerSecond: entry.bandwidth,
      isNamedByOperator: isListed || registry === this.#file.default,
      takesPushes: this.#file.push === 'any' || (this.#file.push === 'listed' && isListed),
      isTokenHost: (url) => matchesHost(tokenHosts, url),
      isTrusted: (url) => matchesHost(trusted, url),
      label: isListed || WELL_KNOWN.has(registry) ? registry : OTHER,
    };
  }
}

/** `host` means any port, `host:port` that one. */
function matchesHost(hosts: readonly string[], url: URL): boolean {
  return hosts.some((each) => each === url.hostname || each === `${url.hostname}:${portOf(url)}`);
}

function portOf(url: URL): string {
  return url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port;
}

function globToRegExp(glob: string): RegExp {
  const parts = spelling(glob)
    .split('*')
    .map((part) => part.replace(/[\\^$.+?()[\]{}|]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`);
}

/** A glob that is a name means the registry of that name, so it gets the one spelling that registries have inside. */
function spelling(glob: string): string {
  try {
    return parseRegistry(glob);
  } catch {
    return glob.toLowerCase();
  }
}
