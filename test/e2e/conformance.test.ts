import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startTier } from '../../scripts/lab/circ.ts';
import { type Conformance, conformanceOf } from '../../scripts/lab/conformance.ts';
import { Namespace } from '../../scripts/lab/network.ts';
import { startRegistry } from '../../scripts/lab/registry.ts';
import { REGISTRY, startHouse } from '../support/house.ts';
import { tmpDir } from '../support/tmp-dir.ts';

/** Fewer would mean that the tool had not got far. */
const MANY = 700;

test('the shared tier conforms to all of the distribution specification, with an origin that does', async () => {
  await using house = await startHouse();
  await using directory = await tmpDir();
  const registry = new URL(house.tierUrl).host;
  const results = await conformanceOf({ registry, prefix: `${REGISTRY}/`, directory: directory.path });
  expect(passed(results)).toBeGreaterThan(MANY);
  expect(notPassed(results)).toEqual([]);
  expect(house.origin.openUploads).toBe(0);
});

test('the shared tier conforms to what its origin conforms to: CNCF distribution', async () => {
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'circ-e2e-'));
  stack.defer(async () => await rm(directory, { recursive: true }));
  const namespace = stack.use(await Namespace.create('conform'));
  const storage = join(directory, 'registry');
  const origin = stack.use(
    await startRegistry({ namespace, storage, directory, logFile: join(directory, 'origin.log') }),
  );
  const origins = join(directory, 'origins.yaml');
  await writeFile(origins, `registries:\n  registry.lab:\n    endpoint: http://${origin.address}\n`);
  stack.use(
    await startTier({ namespace, directory: join(directory, 'tier'), logFile: join(directory, 'tier.log'), origins }),
  );
  const results: Conformance[] = [];
  for (const [registry, prefix] of [
    [origin.address, ''],
    ['127.0.0.1:5061', 'registry.lab/'],
  ] as const) {
    const reports = join(directory, `reports-${results.length}`);
    await mkdir(reports);
    const run = namespace.run.bind(namespace);
    results.push(await conformanceOf({ registry, prefix, directory: reports, run }));
  }
  const [alone, through] = results;
  expect(passed(alone)).toBeGreaterThan(MANY);
  expect(differences(alone, through)).toEqual([]);
});

function passed(results: Conformance | undefined, name?: string): number {
  const all =
    name === undefined ? [...(results ?? new Map<string, readonly string[]>()).values()] : [results?.get(name) ?? []];
  return all.flat().filter((result) => result === 'Pass').length;
}

function notPassed(results: Conformance): string[] {
  return [...results].flatMap(([name, all]) => all.filter((each) => each !== 'Pass').map((each) => `${name}: ${each}`));
}

/** Tests that the origin passes alone, and not as often through the tier. What only the tier passes is no loss. */
function differences(alone: Conformance | undefined, through: Conformance | undefined): string[] {
  return [...(alone ?? new Map<string, readonly string[]>()).keys()]
    .map((name) => ({ name, here: passed(alone, name), there: passed(through, name) }))
    .filter(({ here, there }) => there < here)
    .map(({ name, here, there }) => `${name}: ${there} instead of ${here}`);
}
