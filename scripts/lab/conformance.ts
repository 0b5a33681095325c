import { join } from 'node:path';
import { type Output, type RunOptions, run } from './run.ts';
import { toolPath } from './tools.ts';

export interface ConformanceOptions {
  /** host:port */
  readonly registry: string;
  /** Stands before the names of the repositories, with a slash at its end. */
  readonly prefix: string;
  /** For its reports. */
  readonly directory: string;
  /** Where it runs; here unless given. */
  readonly run?: (argv: readonly string[], options: RunOptions) => Promise<Output>;
}

/**
 * Names of the tests, each with what came of it: `Pass`, `Skip`, `FAIL`, …  Some names stand for several tests, which come
 * in another order each time.
 */
export type Conformance = ReadonlyMap<string, readonly string[]>;

/** Every part of the specification, those that registries may leave out as well. */
const EVERYTHING = {
  OCI_VERSION: 'dev',
  OCI_API_BLOBS_UPLOAD_CANCEL: 'true',
  OCI_API_BLOBS_DIGEST_HEADER: 'true',
  OCI_API_MANIFESTS_DIGEST_HEADER: 'true',
  OCI_API_MANIFESTS_TAG_PARAM: 'true',
  OCI_DATA_SPARSE: 'true',
};

/**
 * Runs the specification's own tests against a registry in plain HTTP.
 * https://github.com/opencontainers/distribution-spec/tree/main/conformance
 */
export async function conformanceOf(options: ConformanceOptions): Promise<Conformance> {
  const { registry, prefix, directory, run: start = run } = options;
  const env = {
    PATH: process.env['PATH'],
    HOME: directory,
    OCI_REGISTRY: registry,
    OCI_TLS: 'disabled',
    OCI_REPO1: `${prefix}conformance/one`,
    OCI_REPO2: `${prefix}conformance/two`,
    OCI_RESULTS_DIR: join(directory, 'results'),
    OCI_LOG: 'error',
    ...EVERYTHING,
  };
  // It ends with 1 when a test fails: what failed is in what it prints, and `|| true` is how a shell says that.
  const script = ['sh', '-c', '"$1" || true', 'sh', toolPath('conformance')];
  const { stdout } = await start(script, { env, cwd: directory, timeoutMs: 240_000 });
  const results = new Map<string, string[]>();
  for (const line of stdout.split('\n')) {
    const { name, result } = /^ *(?<name>OCI Conformance Test\b.*): (?<result>\w+)$/.exec(line)?.groups ?? {};
    if (name !== undefined && result !== undefined) results.set(name, [...(results.get(name) ?? []), result]);
  }
  return results;
}
