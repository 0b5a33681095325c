import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { z } from 'zod';
import type { RegistryNames } from '../oci/request.ts';
import { parseRegistry } from '../oci/reference.ts';
import { ConfigError } from './env.ts';
import { parseBandwidth, parseDuration } from './units.ts';

/** One entry under `registries:`. */
export type ListedRegistry = z.infer<typeof listedRegistry>;
/** The origins file: which registries may be reached, and how. */
export type OriginsFile = z.infer<typeof originsFile>;

const text = (expected: string, parseText: (value: string) => unknown) =>
  z
    .string({ error: `expected ${expected}` })
    .refine((value) => succeeds(() => parseText(value)), `expected ${expected}`);
const registryName = text('host or host:port', parseRegistry).transform((name) => parseRegistry(name));
const hostList = z.array(text('host or host:port', parseRegistry)).default([]);
const url = z.url({ protocol: /^https?$/, error: 'expected http://host:port or https://host:port' });

/** The schema of one entry under `registries:`. */
export const listedRegistry = z.strictObject({
  /** Where the registry is; it may be private or plain http because it is written here. */
  endpoint: url
    .transform((value) => new URL(value))
    .refine(
      ({ href, origin }) => href === `${origin}/`,
      'expected http://host:port or https://host:port, and nothing more',
    )
    .optional(),
  /** PEM file that is trusted for this registry besides the system's. */
  ca: z.string().optional(),
  /** Further hosts (any port if none is given) that a token realm may point at. */
  tokenHosts: hostList,
  /** Private hosts that its redirects may lead to. */
  redirectHosts: hostList,
  /** How long a tag's digest is believed, in ms; 0 asks the origin each time. */
  tagTtl: z.union([text('a duration such as 60s', parseDuration).transform(parseDuration), z.literal(0)]).default(0),
  /** Connections to one host of this registry. */
  maxConnections: z.int().min(1).max(256).default(16),
  /** The operator's own credentials, with which content is fetched; see shared-tier/origin/operator-credential.ts. */
  credentialsFile: z.string().optional(),
  /** Bytes a second that all downloads from it take together. */
  bandwidth: text('a bandwidth such as 200MiB/s', parseBandwidth).transform(parseBandwidth).optional(),
});

/** A key without anything behind it is null in YAML. */
const orEmpty = z.preprocess((entry) => entry ?? {}, listedRegistry);

/** The schema of the origins file. */
export const originsFile = z.strictObject({
  default: registryName.prefault('docker.io'),
  allow: z.array(z.string()).default(['*']),
  deny: z.array(z.string()).default([]),
  denyNetworks: z
    .array(z.union([z.cidrv4(), z.cidrv6()], { error: 'expected a network such as 10.0.0.0/8' }))
    .default([]),
  proxy: url.optional(),
  /** Which registries may be pushed to through the shared tier: those under `registries`, any, or none. */
  push: z.enum(['listed', 'any', 'none']).default('listed'),
  /** What is served when an origin cannot be asked: what anybody could read within the last day, or nothing. */
  whenOriginIsDown: z.enum(['serve-public', 'refuse']).default('serve-public'),
  registries: z
    .record(text('a key of the form host or host:port', parseRegistry), orEmpty)
    .default({})
    .refine((entries) => {
      const names = Object.keys(entries).filter((name) => succeeds(() => parseRegistry(name)));
      return new Set(names.map((name) => parseRegistry(name))).size === names.length;
    }, 'two keys name the same registry')
    .transform((entries) => new Map(Object.entries(entries).map(([key, entry]) => [parseRegistry(key), entry]))),
});

/**
 * Parses the YAML of `CIRC_ORIGINS`; no text means no file: docker.io is the default and every public registry allowed.
 *
 * @throws ConfigError that lists every mistake with its path in the file
 */
export function parseOriginsFile(yaml: string): OriginsFile {
  let value: unknown;
  try {
    value = parse(yaml);
  } catch (error) {
    throw new ConfigError([`CIRC_ORIGINS: not YAML: ${error instanceof Error ? error.message : String(error)}`]);
  }
  const result = originsFile.safeParse(value ?? {});
  if (result.success) return result.data;
  throw new ConfigError(
    result.error.issues.map(({ path, message }) =>
      ['CIRC_ORIGINS', path.join('.'), message].filter(Boolean).join(': '),
    ),
  );
}

/** Reads the file that `CIRC_ORIGINS` names; without one, the defaults. @throws ConfigError as `parseOriginsFile` */
export function readOriginsFile(path: string | undefined): OriginsFile {
  return parseOriginsFile(path === undefined ? '' : readFileSync(path, 'utf8'));
}

/** How requests without `ns` are read. */
export function registryNames(file: OriginsFile): RegistryNames {
  return {
    default: file.default,
    isListed: (name) => succeeds(() => parseRegistry(name)) && file.registries.has(parseRegistry(name)),
  };
}

function succeeds(attempt: () => unknown): boolean {
  try {
    attempt();
    return true;
  } catch {
    return false; // the caller says what is wrong
  }
}
