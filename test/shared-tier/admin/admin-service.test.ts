import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client, Server, ServerCredentials, credentials, status } from '@grpc/grpc-js';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../../oci/digest.ts';
import { loadServices } from '../../../proto/load.ts';
import { formatAddress } from '../../../service/units.ts';
import { generatedBlob } from '../../support/blobs.ts';
import { adminOf, preheat } from '../../support/house-admin.ts';
import { REGISTRY, type House, startHouse } from '../../support/house.ts';

const APP = 'org/app';
const OTHER = 'org/other';

async function filled(): Promise<House> {
  const house = await startHouse();
  await house.origin.addImage(APP, 'v1', { layers: [generatedBlob(300_000), generatedBlob(1_000)] });
  await house.origin.addImage(OTHER, 'v1', { layers: [generatedBlob(300_000)] }); // a layer that both have
  await house.pull(APP, 'v1');
  await house.pull(OTHER, 'v1');
  await expect.poll(async () => await house.stored('tier')).toHaveLength(6); // a reader may have all before it is committed
  return house;
}

describe('GetStats', () => {
  test('tells what came from origins, what was served, and what is kept', async () => {
    await using house = await filled();
    using admin = adminOf(house.tierGrpc);
    await house.pull(APP, 'v1');
    const stats = await admin.stats();
    expect(stats.blobs).toBe((await house.stored('tier')).length);
    expect(stats.bytes).toBeGreaterThan(301_000);
    expect(stats.capacityBytes).toBe(200 * 2 ** 30);
    expect(stats.originBytes).toBeGreaterThan(301_000);
    expect(stats.originBytes).toBeLessThan(310_000);
    expect(stats.servedBytes).toBeGreaterThan(stats.originBytes);
    expect(stats.hits).toBeGreaterThan(0);
    expect(stats.misses).toBeGreaterThan(0);
    expect(stats.originRequests).toBe(house.origin.requests.length);
    expect(stats).toMatchObject({ fetchesInFlight: 0, waiters: 0, agents: 1, store: 'disk' });
    expect([stats.version, stats.replica].includes('')).toBe(false);
    await house.stopAgent();
    await expect.poll(async () => (await admin.stats()).agents).toBe(0);
  });
});

describe('ListRepositories', () => {
  test('tells what each repository holds, in pages', async () => {
    await using house = await filled();
    using admin = adminOf(house.tierGrpc);
    const first = await admin.repositories({ pageSize: 1 });
    expect(first).toMatchObject({
      repositories: [{ registry: REGISTRY, repository: APP, blobs: 4, pulls: 1 }],
      nextPageToken: `${REGISTRY}/${APP}`,
      incomplete: false,
    });
    const second = await admin.repositories({ pageSize: 1, pageToken: first.nextPageToken });
    expect(second).toMatchObject({
      repositories: [{ registry: REGISTRY, repository: OTHER, blobs: 3 }],
      nextPageToken: '',
    });
    expect(second.repositories[0]?.bytes).toBeGreaterThan(300_000);
  });

  test.each(['repositories', 'blobs'] as const)('and so does %s: no page is larger than it may be', async (list) => {
    await using house = await startHouse();
    using admin = adminOf(house.tierGrpc);
    await expect(admin[list]({ pageSize: 1_001 })).rejects.toMatchObject({ code: 'NAME_INVALID' });
  });
});

describe('ListBlobs', () => {
  test('tells everything once, whatever the size of the pages', async () => {
    await using house = await filled();
    using admin = adminOf(house.tierGrpc);
    const all = (await house.stored('tier')).toSorted();
    for (const pageSize of [1, 2, 3, all.length, 1_000]) {
      const digests: string[] = [];
      for (let pageToken = '', isMore = true; isMore; isMore = pageToken !== '') {
        const page = await admin.blobs({ pageSize, pageToken });
        expect(page.blobs.length).toBeLessThanOrEqual(pageSize);
        digests.push(...page.blobs.map(({ digest }) => digest));
        pageToken = page.nextPageToken;
      }
      expect(digests).toEqual(all);
    }
  });

  test('tells what one repository holds', async () => {
    await using house = await filled();
    using admin = adminOf(house.tierGrpc);
    const { blobs } = await admin.blobs({ repository: `${REGISTRY}/${OTHER}` });
    expect(blobs.map(({ size }) => size)).toContain(300_000);
    expect(blobs).toHaveLength(3);
    expect((await admin.blobs({ repository: `${REGISTRY}/org/nothing` })).blobs).toEqual([]);
  });
});

describe('WatchFetches', () => {
  test('tells again and again how far what is under way has come', async () => {
    await using house = await startHouse();
    const { layers } = await house.origin.addImage(APP, 'v1', { layers: [generatedBlob(1_000_000)] });
    const digest = layers[0]?.digest ?? '';
    house.origin.when({ digest, method: 'GET' }, { bytesPerSecondPerConnection: 200_000 });
    using admin = adminOf(house.tierGrpc);
    const hangUp = new AbortController();
    const downloading = house.blob(APP, digest, { signal: hangUp.signal });
    await house.origin.arrived({ digest, method: 'GET' });
    const seen: { received: number }[] = [];
    for await (const { fetches, total } of admin.fetches()) {
      expect(total).toBe(1);
      const [fetch] = fetches;
      expect(fetch).toMatchObject({ registry: REGISTRY, repository: APP, digest });
      if (fetch && fetch.received > 0) seen.push(fetch);
      if (seen.length === 2) break;
    }
    expect(seen).toMatchObject(Array.from({ length: 2 }, () => ({ size: 1_000_000, waiters: 1 })));
    expect(seen[1]?.received).toBeGreaterThan(seen[0]?.received ?? 0);
    hangUp.abort();
    await downloading;
  });
});

describe('Evict', () => {
  test.each([
    ['a digest', ({ digest }: { digest: string }) => ({ digest }), 1],
    ['a repository', () => ({ repository: `${REGISTRY}/${OTHER}` }), 3],
    ['everything', () => ({ all: true }), 6],
  ])('removes %s, after telling what would go', async (_name, request, count) => {
    await using house = await filled();
    using admin = adminOf(house.tierGrpc);
    const [digest = ''] = await house.stored('tier');
    const before = (await house.stored('tier')).length;
    const what = request({ digest });
    const told = await admin.evict({ ...what, dryRun: true });
    expect(told.blobs).toBe(count);
    expect(await house.stored('tier')).toHaveLength(before);
    expect(await admin.evict(what)).toEqual(told);
    await expect.poll(async () => await house.stored('tier')).toHaveLength(before - count);
    expect((await admin.stats()).blobs).toBe(before - count);
    await house.pull(APP, 'v1'); // what has gone comes again
    expect(await admin.evict({ digest: digestOf(Buffer.from('nothing')) })).toEqual({ blobs: 0, bytes: 0 });
  });

  test.each([
    ['nothing', {}],
    ['not everything', { all: false }],
    ['no digest', { digest: 'sha256:x' }],
    ['no repository', { repository: '../etc' }],
  ])('of %s is refused', async (_name, request) => {
    await using house = await startHouse();
    using admin = adminOf(house.tierGrpc);
    await expect(admin.evict(request)).rejects.toMatchObject({ code: expect.stringMatching('INVALID') as string });
  });
});

describe('Verify', () => {
  test('finds what rots on the disk though nobody reads it, and drops it', async () => {
    await using house = await filled();
    using admin = adminOf(house.tierGrpc);
    const good = await Array.fromAsync(admin.verify());
    const all = (await house.stored('tier')).length;
    expect(good.at(-1)).toMatchObject({ done: true, blobs: all, totalBlobs: all, corrupt: [], unreadable: [] });
    const [rotten = ''] = await house.stored('tier');
    const hex = rotten.replace('sha256:', '');
    await writeFile(join(house.tierDirectory, 'v1/blobs/sha256', hex.slice(0, 2), hex), 'rot', { flag: 'r+' });
    const answers = await Array.fromAsync(admin.verify());
    expect(answers.flatMap(({ corrupt }) => corrupt)).toEqual([rotten]);
    await expect.poll(async () => await house.stored('tier')).not.toContain(rotten);
    expect((await Array.fromAsync(admin.verify())).at(-1)).toMatchObject({ done: true, blobs: all - 1 });
  });
});

function asItIs(bytes: Buffer): Buffer {
  return bytes;
}

describe('the admin service', () => {
  test('is found by reflection, as grpcurl asks', async () => {
    await using house = await startHouse();
    const client = new Client(formatAddress(house.tierGrpc), credentials.createInsecure());
    const path = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo';
    const call = client.makeBidiStreamRequest(path, asItIs, asItIs);
    call.write(Buffer.concat([Buffer.from([0x22, 13]), Buffer.from('circ.v1.Admin')])); // file_containing_symbol = 4
    call.end();
    const answers = await Array.fromAsync(call as AsyncIterable<Buffer>);
    const described = Buffer.concat(answers).toString('latin1');
    for (const method of Object.keys(loadServices().Admin.service)) expect(described).toContain(method);
    client.close();
  });

  test('has a bound on the streams that stand open', async () => {
    await using house = await startHouse();
    using admin = adminOf(house.tierGrpc);
    const streams = Array.from({ length: 32 }, () => admin.fetches());
    await Promise.all(streams.map(async (stream) => await stream.next()));
    await expect(admin.fetches().next()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await streams[0]?.return();
    await expect
      .poll(async () => await preheat(admin, { image: `${REGISTRY}/org/nothing` }).catch(String))
      .toMatch('manifest unknown');
    await Promise.all(streams.map(async (stream) => await stream.return()));
  });

  test('that is not there is told from one that refuses', async () => {
    const server = new Server();
    const { promise, resolve } = Promise.withResolvers<number>();
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_error, port) => resolve(port));
    using admin = adminOf({ host: '127.0.0.1', port: await promise });
    await expect(admin.stats()).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      cause: expect.objectContaining({ code: status.UNIMPLEMENTED }) as Error,
    });
    server.forceShutdown();
  });
});
