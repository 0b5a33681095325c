// Makes the TypeScript types of proto/*.proto and the references in docs/, or with --check tells whether the committed ones
// are up to date.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LOADER_OPTIONS, PROTO_FILES } from '../proto/load.ts';
import { configurationDoc } from './docs/configuration.ts';
import { metricsDoc } from './docs/metrics.ts';

const GENERATED = 'proto/generated';
const DOCS = { 'docs/configuration.md': configurationDoc, 'docs/metrics.md': metricsDoc };

function generate(outDir: string): void {
  const flags = Object.entries(LOADER_OPTIONS).map(([name, value]) =>
    typeof value === 'boolean' ? `--${name}=${value}` : `--${name}=${value.name}`,
  );
  execFileSync(
    'proto-loader-gen-types',
    [
      ...PROTO_FILES,
      ...flags,
      '--grpcLib=@grpc/grpc-js',
      '--importFileExtension=.ts',
      `--outDir=${outDir}`,
      '--includeDirs=proto',
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
}

function read(directory: string): string {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = files.map((entry) => join(entry.parentPath, entry.name)).toSorted();
  return paths.map((path) => `${path.slice(directory.length)}\n${readFileSync(path, 'utf8')}`).join('\n');
}

if (process.argv.includes('--check')) {
  const fresh = mkdtempSync(join(tmpdir(), 'circ-generated-'));
  try {
    generate(fresh);
    if (read(fresh) !== read(GENERATED)) {
      console.error(`${GENERATED} is out of date: run npm run generate`);
      process.exitCode = 1;
    }
  } finally {
    rmSync(fresh, { recursive: true });
  }
  for (const [path, make] of Object.entries(DOCS)) {
    if (readFileSync(path, 'utf8') === make()) continue;
    console.error(`${path} is out of date: run npm run generate`);
    process.exitCode = 1;
  }
} else {
  rmSync(GENERATED, { recursive: true, force: true });
  generate(GENERATED);
  for (const [path, make] of Object.entries(DOCS)) writeFileSync(path, make());
}
