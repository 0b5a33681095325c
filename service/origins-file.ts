import { parse } from 'yaml';
import { z } from 'zod';
import type { RegistryNames } from '../oci/request.ts';
import { type Registry, parseRegistry } from '../oci/reference.ts';
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

const listedRegistry = z.strictObject({
  /** Where the registry is; it may be private or plain http because it is written here. */
  endpoint: url.transform((value) => new URL(value)).optional(),
  /** PEM file that is trusted for this registry besides the system's. */
  ca: z.string().optional(),
  /** Further hosts (any port if none is given) that a token realm may point at. */
  tokenHosts: hostList,
  /** Private hosts that its redirects may lead to. */
  redirectHosts: hostList,
  /** How long a tag's digest is believed, in ms; 0 asks the origin each time. */
  tagTtl: text('a duration such as 60s', parseDuration).transform(parseDuration).default(0),
  /** Connections to one host of this registry. */
  maxConnections: z.int().min(1).max(256).default(16),
  /** Bytes a second that all downloads from it take together. */
  bandwidth: text('a bandwidth such as 200MiB/s', parseBandwidth).transform(parseBandwidth).optional(),
});

const originsFile = z.strictObject({
  default: registryName.prefault('docker.io'),
  allow: z.array(z.string()).default(['*']),
  deny: z.array(z.string()).default([]),
  denyNetworks: z
    .array(z.union([z.cidrv4(), z.cidrv6()], { error: 'expected a network such as 10.0.0.0/8' }))
    .default([]),
  proxy: url.optional(),
  registries: z
    .record(z.string(), listedRegistry.prefault({}))
    .default({})
    .transform((entries, context) => {
      const listed = new Map<Registry, ListedRegistry>();
      for (const [key, entry] of Object.entries(entries)) {
        if (succeeds(() => parseRegistry(key))) listed.set(parseRegistry(key), entry);
        else context.addIssue({ code: 'custom', path: [key], message: 'expected a key of the form host or host:port' });
      }
      return listed;
    }),
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
    result.error.issues.map((issue) => `CIRC_ORIGINS: ${[...issue.path, ''].join('.').slice(0, -1)}: ${issue.message}`),
  );
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
