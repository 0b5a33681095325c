// Makes the TypeScript types of proto/*.proto, or with --check tells whether the committed ones are up to date.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LOADER_OPTIONS, PROTO_FILES } from '../proto/load.ts';

const GENERATED = 'proto/generated';

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
} else {
  rmSync(GENERATED, { recursive: true, force: true });
  generate(GENERATED);
}
