/**
 * `npm run image`: builds circ's container image for this machine's architecture, without a container engine and without a
 * base image. Needs `tar`, `ldd` and `strip`. The Dockerfile calls it with `--layers`.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { readVersion } from '../service/version.ts';
import { IMAGE_CONFIG } from './image/image-config.ts';
import { type RootPart, writeImage } from './image/oci-layout.ts';
import { LAYERS, makeLayer } from './image/root-layers.ts';

const USAGE = `npm run image -- [options]
  --name REFERENCE   name of the image; default registry.example/circ:VERSION
  --output DIR       OCI layout; DIR.tar is the same as an archive; default ./.circ/image
  --root DIR         only the root file system, into DIR
  --layers DIR       the same, each layer into a directory of its own: DIR/runtime, DIR/modules, DIR/programs`;

async function main(): Promise<void> {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    options: { name: text, output: text, root: text, layers: text, help: { type: 'boolean' } },
  });
  if (values.help) {
    console.log(USAGE);
    return;
  }
  const PATH = `${resolve('node_modules/.bin')}:${process.env['PATH']}`;
  execFileSync(process.execPath, ['scripts/build.ts'], { stdio: 'inherit', env: { ...process.env, PATH } });
  if (values.root !== undefined) {
    for (const layer of LAYERS) makeLayer(layer, resolve(values.root));
    return;
  }
  if (values.layers !== undefined) {
    makeLayers(resolve(values.layers));
    return;
  }
  const reference = values.name ?? `registry.example/circ:${readVersion()}`;
  const layout = resolve(values.output ?? '.circ/image');
  const scratch = mkdtempSync(join(tmpdir(), 'circ-image-'));
  try {
    const parts = makeLayers(scratch);
    const digest = await writeImage(layout, { reference, config: IMAGE_CONFIG, parts });
    console.log(`${reference}@${digest}\n${layout}\n${layout}.tar`);
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

function makeLayers(directory: string): RootPart[] {
  const parts = LAYERS.map((name) => ({ name, directory: join(directory, name) }));
  for (const part of parts) {
    mkdirSync(part.directory, { recursive: true });
    makeLayer(part.name, part.directory);
  }
  return parts;
}

await main();
