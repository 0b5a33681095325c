import { describe, expect, test } from 'vitest';
import { digestOf } from '../../oci/digest.ts';
import { generatedBlob, readBytes } from '../support/blobs.ts';
import { type House, REGISTRY, startHouse } from '../support/house.ts';
import { PushClient, codeOf, locationOf, partOf } from '../support/house-push.ts';
import type { Moods } from '../support/origin-moods.ts';

const MIB = 1024 * 1024;
const REPOSITORY = 'org/app';
const blob = generatedBlob(4 * MIB, 11);
const bytes = readBytes(blob);
const digest = digestOf(bytes);
const half = 2 * MIB;

describe('an origin that breaks off in the middle of an upload', () => {
  test.each([
    ['a PATCH', 'PATCH', (pusher: PushClient) => pusher.stream(blob, digest)],
    ['a PUT', 'PUT', (pusher: PushClient) => pusher.whole(blob, digest)],
  ] as const)('gets the rest of %s from where it is, and the client notices nothing', async (_what, method, push) => {
    await using house = await startHouse();
    house.origin.once({ breakBodyAt: half }, { kind: 'upload', method });
    expect(await push(pusherOf(house))).toMatchObject({ status: 201 });
    expect(digestOf(readBytes(house.origin.blob(digest) ?? generatedBlob(0)))).toBe(digest);
    // Nothing was sent twice but what the origin had lost, and nothing of it.
    expect(received(house)).toBe(bytes.length);
    await expectCached(house);
  });

  test('is left alone as long as it says, and no longer than the client would be patient', async () => {
    await using house = await startHouse();
    house.origin.once({ status: 503, headers: { 'retry-after': '1' } }, { kind: 'upload', method: 'PATCH' });
    const startedAtMs = performance.now();
    expect((await pusherOf(house).stream(blob, digest)).status).toBe(201);
    expect(performance.now() - startedAtMs).toBeGreaterThan(1000);

    house.origin.once({ status: 503, headers: { 'retry-after': '3600' } }, { kind: 'upload', method: 'PATCH' });
    const failed = await pusherOf(house).patch(await pusherOf(house).begin(), bytes);
    expect([failed.status, codeOf(failed)]).toEqual([503, 'UNAVAILABLE']);
  });

  test('is asked for its answer again when that was lost; then the blob is there, and is not taken for seen', async () => {
    await using house = await startHouse();
    const pusher = pusherOf(house);
    const address = locationOf(await pusher.patch(await pusher.begin(), bytes), 202);
    house.origin.once({ loseAnswer: true }, { kind: 'upload', method: 'PUT' });
    expect(await pusher.put(address, digest)).toMatchObject({ status: 201 });
    expect((await pusher.ask('GET', `blobs/${digest}`)).body.equals(bytes)).toBe(true);
    expect(house.origin.count({ kind: 'blob', method: 'GET', digest })).toBeGreaterThan(0);
  });

  test('and cannot tell where it is ends the push with 503, and the next one succeeds', async () => {
    await using house = await startHouse();
    house.origin.pushes.status = false;
    house.origin.once({ breakBodyAt: half }, { kind: 'upload', method: 'PATCH' });
    const pusher = pusherOf(house);
    const address = await pusher.begin();
    const failed = await pusher.patch(address, bytes);
    expect([failed.status, codeOf(failed)]).toEqual([503, 'UNAVAILABLE']);
    expect((await pusher.stream(blob, digest)).status).toBe(201);
    expect(await house.stored('tier')).toEqual([digest]);
  });

  test('for good is reported, and the push goes on where it was when it is back', async () => {
    await using house = await startHouse();
    const pusher = pusherOf(house);
    const first = locationOf(await pusher.patch(await pusher.begin(), ...partOf(bytes, 0, half)), 202);
    await house.origin.down();
    const failed = await pusher.patch(first, ...partOf(bytes, half, half));
    expect([failed.status, codeOf(failed)]).toEqual([503, 'UNAVAILABLE']);
    await house.origin.up();
    const status = await pusher.ask('GET', first);
    expect([status.status, status.headers.range]).toEqual([204, `0-${half - 1}`]);
    const second = locationOf(await pusher.patch(locationOf(status, 204), ...partOf(bytes, half, half)), 202);
    expect((await pusher.put(second, digest)).status).toBe(201);
    await expectCached(house);
  });
});

describe('a tier that dies in the middle of an upload', () => {
  test('leaves nothing behind, and the next one goes on with the upload, without keeping it', async () => {
    await using house = await startHouse({ tier: await keyed() });
    const pusher = pusherOf(house);
    const first = locationOf(await pusher.patch(await pusher.begin(), ...partOf(bytes, 0, half)), 202);
    expect(await house.ingests()).toBe(1);
    await house.restartTier();
    expect(await house.ingests()).toBe(0);
    const second = locationOf(await pusher.patch(first, ...partOf(bytes, half, half)), 202);
    expect((await pusher.put(second, digest)).status).toBe(201);
    expect(await house.stored('tier')).not.toContain(digest);
    expect((await pusher.ask('GET', `blobs/${digest}`)).body.equals(bytes)).toBe(true);
    await expectNothingLeft(house);
  });
});

describe('two replicas behind one address', () => {
  test('take parts of one upload in turn; the blob is at the origin, and is read from there', async () => {
    const tier = await keyed();
    await using house = await startHouse({ tier });
    await using other = await startHouse({ tier, registries: { [REGISTRY]: house.origin } });
    const pushers = [pusherOf(house), pusherOf(other)];
    let address = await pusherOf(house).begin();
    const part = bytes.length / 4;
    for (let at = 0; at < 4; at += 1) {
      const pusher = pushers[at % 2] ?? pusherOf(house);
      address = locationOf(await pusher.patch(address, ...partOf(bytes, at * part, part)), 202);
    }
    expect((await pusherOf(other).put(address, digest)).status).toBe(201);
    expect([await house.stored('tier'), await other.stored('tier')]).toEqual([[], []]);
    expect((await pusherOf(house).ask('GET', `blobs/${digest}`)).body.equals(bytes)).toBe(true);
    expect(house.origin.count({ kind: 'blob', method: 'GET', digest })).toBeGreaterThan(0);
  });

  test('of which the first has gone before its first byte, keep what the second has seen whole', async () => {
    const tier = await keyed();
    await using house = await startHouse({ tier });
    await using other = await startHouse({ tier, registries: { [REGISTRY]: house.origin } });
    const address = await pusherOf(house).begin();
    await house.stopTier();
    const patched = locationOf(await pusherOf(other).patch(address, bytes), 202);
    expect((await pusherOf(other).put(patched, digest)).status).toBe(201);
    await expectCached(other);
  });
});

describe('a client that goes away in the middle of an upload', () => {
  test('finds what the origin has of it, and goes on from there', async () => {
    await using house = await startHouse();
    const pusher = pusherOf(house);
    const address = await pusher.begin();
    const hangUp = new AbortController();
    const stopped = pusher.ask('PATCH', address, { body: endless(bytes.subarray(0, MIB)), signal: hangUp.signal });
    await expect.poll(() => received(house)).toBe(MIB);
    hangUp.abort();
    expect((await stopped).status).toBe(0);
    const status = await pusher.ask('GET', address);
    expect(status.headers.range).toBe(`0-${MIB - 1}`);
    const rest = locationOf(await pusher.patch(locationOf(status, 204), bytes.subarray(MIB)), 202);
    expect((await pusher.put(rest, digest)).status).toBe(201);
    await expectCached(house);
  });

  test('and cancels has left nothing at the origin, and nothing here', async () => {
    await using house = await startHouse();
    const pusher = pusherOf(house);
    const address = locationOf(await pusher.patch(await pusher.begin(), bytes), 202);
    expect(await house.ingests()).toBe(1);
    expect((await pusher.ask('DELETE', address)).status).toBe(204);
    expect(house.origin.openUploads).toBe(0);
    await expectNothingLeft(house);
    const gone = await pusher.patch(address, bytes);
    expect([gone.status, codeOf(gone)]).toEqual([404, 'BLOB_UPLOAD_UNKNOWN']);
  });
});

describe('a cache without room', () => {
  test('does not fail a push: it is at the origin, and is read from there', async () => {
    await using house = await startHouse({ tier: { CIRC_TIER_STORE_SIZE: '1MiB' } });
    const pusher = pusherOf(house);
    expect((await pusher.stream(blob, digest)).status).toBe(201);
    expect(await house.stored('tier')).toEqual([]);
    expect((await house.tierMetrics()).sum('circ_store_errors_total')).toBeGreaterThan(0);
    expect((await pusher.ask('GET', `blobs/${digest}`)).body.equals(bytes)).toBe(true);
    await expectNothingLeft(house);
  });
});

describe('what the origin refuses', () => {
  test.each([
    ['a digest that is not that of the bytes', {}, { digest: digestOf(Buffer.from('other')) }, 400, 'DIGEST_INVALID'],
    ['a blob over the quota', {}, { maxBlobBytes: MIB }, 413, 'SIZE_INVALID'],
    ['everything for now', { status: 403 } satisfies Moods, {}, 403, 'DENIED'],
  ])('%s is told in its words, and leaves nothing visible', async (_what, mood, rule, status, code) => {
    await using house = await startHouse();
    const pusher = pusherOf(house);
    const address = locationOf(await pusher.patch(await pusher.begin(), bytes), 202);
    Object.assign(house.origin.pushes, rule);
    house.origin.when({ kind: 'upload', method: 'PUT' }, mood);
    const answer = await pusher.put(address, 'digest' in rule ? rule.digest : digest);
    expect([answer.status, codeOf(answer)]).toEqual([status, code]);
    expect(await house.stored('tier')).toEqual([]);
    await expectNothingLeft(house);
    house.origin.calm();
    house.origin.pushes.maxBlobBytes = Infinity;
    expect((await pusher.stream(blob, digest)).status).toBe(201);
  });

  test('an immutable tag stays where it is, for readers through the tier as well', async () => {
    await using house = await startHouse();
    const pusher = pusherOf(house);
    const first = await pusher.image('v1', [generatedBlob(1000)]);
    house.origin.pushes.immutableTags = true;
    const second = await pusher.manifest('v1', { schemaVersion: 2, layers: [] });
    expect([second.status, codeOf(second)]).toEqual([409, 'DENIED']);
    expect((await house.pull(REPOSITORY, 'v1')).manifests).toEqual([first.digest]);
  });
});

function pusherOf({ tierUrl }: House): PushClient {
  return new PushClient({ url: tierUrl, repository: REPOSITORY, ns: REGISTRY });
}

/** The master key that the replicas of a tier share, and a tier after its restart. */
async function keyed(): Promise<Record<string, string>> {
  return { CIRC_TIER_KEY_FILE: new URL(import.meta.url).pathname };
}

/** A body that has come so far, and does not end. */
async function* endless(beginning: Buffer): AsyncGenerator<Buffer> {
  yield beginning;
  await new Promise(() => undefined);
}

function received(house: House): number {
  return house.origin.requests.reduce((sum, { receivedBytes }) => sum + receivedBytes, 0);
}

/** The blob is served, and the origin is not asked for it. */
async function expectCached(house: House): Promise<void> {
  const reads = house.origin.count({ kind: 'blob', method: 'GET' });
  expect(digestOf((await pusherOf(house).ask('GET', `blobs/${digest}`)).body)).toBe(digest);
  expect(house.origin.count({ kind: 'blob', method: 'GET' })).toBe(reads);
  await expectNothingLeft(house);
}

async function expectNothingLeft(house: House): Promise<void> {
  await expect.poll(async () => await house.ingests()).toBe(0);
}
