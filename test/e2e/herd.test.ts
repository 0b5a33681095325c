import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { HerdLab } from '../../scripts/lab/herd.ts';
import { logTails } from '../../scripts/lab/lab.ts';

const NODES = 300;
const LAYERS = 12;
const LAYER_BYTES = 256 * 1024;
/** Layers, configuration, manifest. */
const OBJECTS = LAYERS + 2;

let lab: HerdLab;

beforeAll(async () => {
  lab = await HerdLab.start({ name: 'herd', nodes: NODES, images: 2, layers: LAYERS, layerBytes: LAYER_BYTES });
});

afterAll(async () => await lab?.[Symbol.asyncDispose]());

test('300 nodes pull a cold image: each byte leaves the origin once, for two writes of the Kubernetes API an object', async () => {
  showLogsOnFailure();
  await using tier = await lab.tier();
  const image = lab.freshImage();
  const { result, bytesFromOrigin, calls } = await lab.costsOf(async () => await (await lab.herd(image)).ended);
  expect(result).toMatchObject({ failures: [], bytes: NODES * lab.imageBytes });
  // On a machine that is so busy that a call of the API takes a second, replicas do not wait for it, and count that.
  const duplicates = await tier.duplicates();
  expect(bytesFromOrigin).toBeGreaterThanOrEqual(lab.imageBytes);
  expect(bytesFromOrigin).toBeLessThanOrEqual(lab.imageBytes + duplicates * LAYER_BYTES);
  await expect.poll(() => lab.leases.list(), { timeout: 20_000 }).toEqual([]);
  const writes = calls.filter(({ verb, status }) => ['create', 'delete'].includes(verb) && status < 300);
  const objects = Map.groupBy(writes, ({ name }) => name);
  expect(objects.size).toBeLessThanOrEqual(OBJECTS);
  expect(objects.size).toBeGreaterThanOrEqual(LAYERS - duplicates);
  // Two for each object. A replica that stands in for another may ask once more for what has just come.
  expect(writes.length).toBeGreaterThanOrEqual(2 * objects.size);
  expect(writes.length).toBeLessThanOrEqual(2 * (objects.size + result.failovers));
  // A lease is renewed once a second here, and not before that.
  const renewals = calls.filter(({ verb }) => verb === 'update');
  expect(renewals.length).toBeLessThanOrEqual((objects.size * result.durationMs) / 1_000);
});

test('all replicas end, and new ones with empty spools come: nothing is fetched again, and no lease is asked for', async () => {
  showLogsOnFailure();
  await using tier = await lab.tier();
  const image = lab.freshImage();
  expect((await (await lab.herd(image, 1)).ended).failures).toEqual([]);
  await expect.poll(() => tier.sum('circ_fetches_in_flight'), { timeout: 20_000 }).toBe(0);
  await Promise.all(tier.replicas.map((replica) => replica.daemon.stop()));
  await tier.start();
  const { result, bytesFromOrigin, calls } = await lab.costsOf(async () => await (await lab.herd(image)).ended);
  expect(result).toMatchObject({ failures: [], bytes: NODES * lab.imageBytes });
  expect(bytesFromOrigin).toBe(0);
  expect(calls.filter(({ verb }) => verb !== 'list')).toEqual([]);
});

function showLogsOnFailure(): void {
  onTestFailed(async () => {
    process.stderr.write(await logTails(lab.site.logs));
  });
}
