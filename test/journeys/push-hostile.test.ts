import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { MAX_MANIFEST_BYTES } from '../../oci/descriptor.ts';
import { digestOf } from '../../oci/digest.ts';
import { generatedBlob, readBytes } from '../support/blobs.ts';
import { type House, REGISTRY, startHouse } from '../support/house.ts';
import { PushClient, codeOf, locationOf, partOf } from '../support/house-push.ts';

const MIB = 1024 * 1024;
const REPOSITORY = 'org/app';
const bytes = readBytes(generatedBlob(MIB, 31));
const digest = digestOf(bytes);

describe('a registry that may not be pushed to', () => {
  test.each([
    ['because nobody may be', { push: 'none' }, REGISTRY],
    ['because it is not listed', {}, 'docker.io'],
  ])('is not asked anything: %s', async (_why, origins, registry) => {
    await using house = await startHouse({ origins });
    const pusher = new PushClient({ url: house.tierUrl, repository: REPOSITORY, ns: registry });
    for (const answer of [
      await pusher.ask('POST', 'blobs/uploads/'),
      await pusher.ask('POST', `blobs/uploads/?mount=${digest}&from=org/other`),
      await pusher.manifest('v1', {}),
      await pusher.ask('DELETE', `manifests/v1`),
    ]) {
      expect([answer.status, codeOf(answer)]).toEqual([405, 'UNSUPPORTED']);
    }
    expect(house.origin.requests).toEqual([]);
  });
});

describe('an address of an upload', () => {
  test('that was not made here, was altered, or is of another repository, leads nowhere', async () => {
    await using house = await startHouse();
    const address = await pusherOf(house).begin();
    const before = house.origin.requests.length;
    for (const wrong of [
      address.replace(/_state=.*$/, '_state=AAAA'),
      address.replace(/_state=.*$/, ''),
      `${address.slice(0, -8)}AAAAAAAA`,
      address.replace(REPOSITORY, 'org/other'),
    ]) {
      for (const method of ['PATCH', 'GET', 'DELETE']) {
        const answer = await pusherOf(house).ask(method, wrong);
        expect([answer.status, codeOf(answer)]).toEqual([404, 'BLOB_UPLOAD_UNKNOWN']);
      }
    }
    expect(house.origin.requests.length).toBe(before);
  });

  test('tells nothing of where the origin keeps the upload', async () => {
    await using house = await startHouse();
    const address = await pusherOf(house).begin();
    expect(address).not.toContain(house.origin.host);
    expect(Buffer.from(address.split('_state=')[1] ?? '', 'base64url').toString('latin1')).not.toContain('blobs');
  });

  test('of which more have bytes than are remembered keeps the latest ones, and refuses none', async () => {
    await using house = await startHouse();
    const pusher = pusherOf(house);
    const first = locationOf(await pusher.patch(await pusher.begin(), bytes), 202);
    for (let at = 0; at < 260; at += 20) {
      await Promise.all(
        Array.from({ length: 20 }, async () => await pusher.patch(await pusher.begin(), Buffer.from(`upload ${at}`))),
      );
    }
    expect(await house.ingests()).toBeLessThanOrEqual(256);
    expect((await pusher.put(first, digest)).status).toBe(201);
    expect(await house.stored('tier')).not.toContain(digest);
  }, 60_000);
});

describe('a part', () => {
  test.each([
    ['that is not the next one', '10-19', 10, 416, 'RANGE_INVALID'],
    ['whose range is not its length', '0-9', 5, 400, 'BLOB_UPLOAD_INVALID'],
    ['whose range is none', '9-0', 10, 400, 'BLOB_UPLOAD_INVALID'],
    ['whose range is nonsense', 'bytes=0-', 10, 400, 'BLOB_UPLOAD_INVALID'],
  ])('%s is refused, and the upload goes on', async (_what, range, length, status, code) => {
    await using house = await startHouse();
    const pusher = pusherOf(house);
    const address = await pusher.begin();
    const wrong = await pusher.patch(address, bytes.subarray(0, length), { 'content-range': range });
    expect([wrong.status, codeOf(wrong)]).toEqual([status, code]);
    const patched = locationOf(await pusher.patch(address, ...partOf(bytes, 0, MIB)), 202);
    expect((await pusher.put(patched, digest)).status).toBe(201);
  });
});

describe('a manifest', () => {
  test('of 4 MiB is pushed, and pulled; one byte more is refused, told or not', async () => {
    await using house = await startHouse();
    const pusher = pusherOf(house);
    const frame = JSON.stringify({ schemaVersion: 2, layers: [], annotations: { a: '' } });
    const largest = Buffer.from(frame.replace('""', `"${'x'.repeat(MAX_MANIFEST_BYTES - frame.length)}"`));
    expect((await pusher.manifest('large', largest)).status).toBe(201);
    expect((await pusher.ask('GET', 'manifests/large')).body.equals(largest)).toBe(true);
    const larger = Buffer.concat([largest, Buffer.from(' ')]);
    const told = await pusher.manifest('larger', larger);
    expect([told.status, codeOf(told)]).toEqual([413, 'SIZE_INVALID']);
    const untold = await pusher.ask('PUT', 'manifests/larger', { body: [larger] });
    expect(untold.status).toBe(413);
    expect(house.origin.tag(REPOSITORY, 'larger')).toBeUndefined();
  });

  test('waits for its turn while 32 others are on their way, and nobody is asked who sends them', async () => {
    await using house = await startHouse();
    const others = Array.from({ length: 32 }, (_, at) => {
      const url = `${house.tierUrl}/v2/org/slow-${at}/manifests/v1?ns=${REGISTRY}`;
      const other = request(url, { method: 'PUT', headers: { expect: '100-continue' }, agent: false });
      other.on('error', () => undefined);
      other.flushHeaders();
      return other;
    });
    await Promise.all(others.map(async (other) => await once(other, 'continue')));
    const pushed = pusherOf(house).manifest('v1', { schemaVersion: 2 });
    expect((await pusherOf(house).ask('GET', 'manifests/v1')).status).toBe(404);
    expect(house.origin.count({ kind: 'manifest', method: 'PUT' })).toBe(0);
    others[0]?.destroy();
    expect((await pushed).status).toBe(201);
    for (const other of others) other.destroy();
  });

  test('that names what was never pushed is for the origin to refuse', async () => {
    await using house = await startHouse();
    house.origin.pushes.checksLinks = true;
    const named = { schemaVersion: 2, config: { mediaType: 'x/y', digest, size: MIB }, layers: [] };
    const answer = await pusherOf(house).manifest('v1', named);
    expect([answer.status, codeOf(answer)]).toEqual([404, 'MANIFEST_BLOB_UNKNOWN']);
    expect(await house.stored('tier')).toEqual([]);
  });

  test('under a digest that is not its own is refused by the origin, and not kept', async () => {
    await using house = await startHouse();
    const answer = await pusherOf(house).manifest(digest, { schemaVersion: 2 });
    expect([answer.status, codeOf(answer)]).toEqual([400, 'DIGEST_INVALID']);
    expect(await house.stored('tier')).toEqual([]);
  });
});

describe('a body', () => {
  test('without end is answered when the origin refuses it, and then cut off', async () => {
    await using house = await startHouse();
    const address = await pusherOf(house).begin();
    house.origin.when({ kind: 'upload', method: 'PATCH' }, { status: 413 });
    const forEver = (function* (): Generator<Buffer> {
      for (;;) yield Buffer.alloc(64 * 1024);
    })();
    const answer = await pusherOf(house).patch(address, forEver);
    expect(answer.status).toBe(413);
    await expect.poll(async () => await house.ingests()).toBe(0);
  });

  test('that an origin takes slowly is not gathered here', async () => {
    await using house = await startHouse();
    house.origin.when({ kind: 'upload' }, { stallBodyAt: MIB });
    const address = await pusherOf(house).begin();
    const hangUp = new AbortController();
    let given = 0;
    const large = (function* (): Generator<Buffer> {
      for (;;) {
        given += 64 * 1024;
        yield Buffer.alloc(64 * 1024);
      }
    })();
    const pushing = pusherOf(house).ask('PATCH', address, { body: large, signal: hangUp.signal });
    await expect.poll(() => house.origin.requests.at(-1)?.receivedBytes).toBe(MIB);
    const settled = async (): Promise<boolean> => {
      const before = given;
      await new Promise((resolve) => setTimeout(resolve, 100));
      return before === given;
    };
    await expect.poll(settled, { timeout: 10_000 }).toBe(true);
    // What the kernel's buffers hold on two connections, and a few pieces.
    expect(given).toBeLessThan(32 * MIB);
    hangUp.abort();
    await pushing;
  });

  test('shorter than it says ends with its connection, and nothing of it is a blob', async () => {
    await using house = await startHouse();
    const address = new URL(await pusherOf(house).begin(), house.tierUrl);
    const socket = connect(Number(address.port), address.hostname);
    socket.on('error', () => undefined);
    socket.write(
      `PUT ${address.pathname}${address.search}&digest=${digest} HTTP/1.1\r\nhost: x\r\ncontent-length: ${MIB}\r\n\r\n`,
    );
    socket.end(bytes.subarray(0, 1000));
    await expect.poll(() => house.log.findLast(({ kind }) => kind === 'upload')?.['code']).toBe('UNAVAILABLE');
    expect(house.origin.blob(digest)).toBeUndefined();
    expect(await house.stored('tier')).toEqual([]);
  });
});

function pusherOf({ tierUrl }: House): PushClient {
  return new PushClient({ url: tierUrl, repository: REPOSITORY, ns: REGISTRY });
}
