/**
 * `npm run manifests`: renders manifests/install.yaml and uninstall.yaml from the chart, for who does not use Helm; needs Go,
 * because it builds Helm. With `--check` it tells, without Helm, whether the chart has changed since.
 */
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { RENDERED, renderManifest } from './lab/chart.ts';
import { buildTools } from './lab/tools.ts';

const DIRECTORY = 'manifests';

function hashOfChart(): string {
  const hash = createHash('sha256');
  const entries = readdirSync(join(DIRECTORY, 'circ'), { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
  for (const path of paths.toSorted()) hash.update(path).update('\0').update(readFileSync(path)).update('\0');
  return hash.digest('hex');
}

const stamp = `# Rendered by npm run manifests from the chart with sha256 ${hashOfChart()}.\n`;

if (process.argv.includes('--check')) {
  for (const name of Object.keys(RENDERED)) {
    if (readFileSync(join(DIRECTORY, name), 'utf8').startsWith(stamp)) continue;
    console.error(`${join(DIRECTORY, name)} is older than the chart: run npm run manifests`);
    process.exitCode = 1;
  }
} else {
  await buildTools((line) => console.log(line), ['helm']);
  for (const [name, render] of Object.entries(RENDERED)) {
    writeFileSync(join(DIRECTORY, name), stamp + (await renderManifest(render)));
  }
}
