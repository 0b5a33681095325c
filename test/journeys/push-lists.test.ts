import { describe, expect, test } from 'vitest';
import { digestOf } from '../../oci/digest.ts';
import { generatedBlob, readBytes } from '../support/blobs.ts';
import { type House, REGISTRY, startHouse } from '../support/house.ts';
import { PushClient, codeOf } from '../support/house-push.ts';
import { MEDIA_TYPES } from '../support/origin-content.ts';

const REPOSITORY = 'org/app';
const INDEX = MEDIA_TYPES.oci.index;
const layer = generatedBlob(10_000, 41);
const digest = digestOf(readBytes(layer));

describe.each(['ns', 'path'] as const)('the tags of a repository (%s form)', (form) => {
  test('are those of the origin, page by page at our own address', async () => {
    await using house = await startHouse();
    const pusher = pusherOf(house, form);
    for (const tag of ['a', 'b', 'c']) await pusher.manifest(tag, { schemaVersion: 2, layers: [] });
    const first = await pusher.ask('GET', 'tags/list?n=2');
    expect(JSON.parse(first.body.toString())).toMatchObject({ tags: ['a', 'b'] });
    const next = /^<(?<address>\/v2\/[^>]+)>; rel="next"$/.exec(String(first.headers['link']))?.groups?.['address'];
    const second = await pusher.ask('GET', next ?? 'none');
    expect(JSON.parse(second.body.toString())).toMatchObject({ tags: ['c'] });
    expect(second.headers['link']).toBeUndefined();
    const head = await pusher.ask('HEAD', 'tags/list');
    expect([head.status, head.body.length, Number(head.headers['content-length']) > 0]).toEqual([200, 0, true]);
  });
});

test('the tags of a repository that is not there are 404', async () => {
  await using house = await startHouse();
  const answer = await pusherOf(house, 'ns').ask('GET', 'tags/list');
  expect([answer.status, codeOf(answer)]).toEqual([404, 'NAME_UNKNOWN']);
});

describe.each([true, false])('what refers to a manifest, at an origin with the referrers API: %s', (referrers) => {
  test('is listed, all of it or of one type', async () => {
    await using house = await startHouse();
    house.origin.pushes.referrers = referrers;
    const pusher = pusherOf(house, 'path');
    const { digest: subject } = await pusher.image('v1', [layer]);
    const manifests = [];
    for (const artifactType of ['application/sbom', 'application/signature']) {
      const artifact = {
        schemaVersion: 2,
        mediaType: MEDIA_TYPES.oci.manifest,
        artifactType,
        layers: [],
        subject: { digest: subject },
      };
      const body = Buffer.from(JSON.stringify(artifact));
      const pushed = await pusher.manifest(digestOf(body), body);
      expect(pushed.headers['oci-subject']).toBe(subject);
      manifests.push({ mediaType: MEDIA_TYPES.oci.manifest, digest: digestOf(body), size: body.length, artifactType });
    }
    // Without the API it is kept where clients look for it then.
    const tagged = await pusher.ask('GET', `manifests/${subject.replace(':', '-')}`);
    const list = { schemaVersion: 2, mediaType: INDEX, manifests };
    expect(tagged.status === 200 ? JSON.parse(tagged.body.toString()) : undefined).toEqual(
      referrers ? undefined : list,
    );

    const all = await pusher.ask('GET', `referrers/${subject}`);
    expect([all.status, all.headers['content-type']]).toEqual([200, INDEX]);
    expect(digestsIn(all.body)).toEqual(manifests.map((each) => each.digest));
    const some = await pusher.ask('GET', `referrers/${subject}?artifactType=application%2Fsbom`);
    expect([some.headers['oci-filters-applied'], digestsIn(some.body)]).toEqual([
      'artifactType',
      [manifests[0]?.digest],
    ]);
    const none = await pusher.ask('GET', `referrers/${digest}`);
    expect([none.status, digestsIn(none.body)]).toEqual([200, []]);
    expect((await pusher.ask('GET', 'referrers/nonsense')).status).toBe(400);

    expect((await pusher.ask('DELETE', `manifests/${manifests[0]?.digest}`)).status).toBe(202);
    const left = await pusher.ask('GET', `referrers/${subject}`);
    expect(digestsIn(left.body)).toEqual([manifests[1]?.digest]);
  });

  test('is all listed when many are pushed at once', async () => {
    await using house = await startHouse();
    house.origin.pushes.referrers = referrers;
    const pusher = pusherOf(house, 'ns');
    const { digest: subject } = await pusher.image('v1', [layer]);
    const bodies = Array.from({ length: 8 }, (_, index) =>
      Buffer.from(
        JSON.stringify({
          schemaVersion: 2,
          mediaType: MEDIA_TYPES.oci.manifest,
          config: { mediaType: 'application/sbom', digest, size: 1 },
          layers: [],
          subject: { digest: subject },
          annotations: { index: `${index}` },
        }),
      ),
    );
    await Promise.all(bodies.map(async (body) => await pusher.manifest(digestOf(body), body)));
    const all = await pusher.ask('GET', `referrers/${subject}?artifactType=application%2Fsbom`);
    expect(digestsIn(all.body).toSorted()).toEqual(bodies.map((body) => digestOf(body)).toSorted());
  });

  test('is pushed all the same when its list is not taken', async () => {
    await using house = await startHouse();
    house.origin.pushes.referrers = referrers;
    const pusher = pusherOf(house, 'ns');
    const { digest: subject } = await pusher.image('v1', [layer]);
    house.origin.when({ reference: subject.replace(':', '-') }, { status: 403 });
    const body = Buffer.from(JSON.stringify({ schemaVersion: 2, layers: [], subject: { digest: subject } }));
    const pushed = await pusher.manifest(digestOf(body), body);
    expect([pushed.status, pushed.headers['oci-subject']]).toEqual([201, referrers ? subject : undefined]);
  });
});

describe('what is deleted', () => {
  test('is gone at the origin and here, at once: blob, manifest and tag', async () => {
    await using house = await startHouse();
    const pusher = pusherOf(house, 'ns');
    const image = await pusher.image('v1', [layer]);
    expect((await pusher.ask('GET', `blobs/${digest}`)).status).toBe(200);
    expect((await pusher.ask('DELETE', `blobs/${digest}`)).status).toBe(202);
    for (const method of ['GET', 'HEAD']) expect((await pusher.ask(method, `blobs/${digest}`)).status).toBe(404);
    expect(await house.stored('tier')).not.toContain(digest);

    expect((await pusher.ask('GET', 'manifests/v1')).status).toBe(200);
    expect((await pusher.ask('DELETE', 'manifests/v1')).status).toBe(202);
    expect((await pusher.ask('GET', 'manifests/v1')).status).toBe(404);
    expect((await pusher.ask('GET', `manifests/${image.digest}`)).status).toBe(200);
    expect((await pusher.ask('DELETE', `manifests/${image.digest}`)).status).toBe(202);
    expect((await pusher.ask('GET', `manifests/${image.digest}`)).status).toBe(404);
  });

  test('is kept for the repositories that still hold it', async () => {
    await using house = await startHouse();
    const [here, there] = [pusherOf(house, 'path'), pusherOf(house, 'path', 'org/other')];
    for (const pusher of [here, there]) await pusher.image('v1', [layer]);
    await here.ask('DELETE', `blobs/${digest}`);
    expect((await here.ask('GET', `blobs/${digest}`)).status).toBe(404);
    expect((await there.ask('GET', `blobs/${digest}`)).status).toBe(200);
    expect(house.origin.count({ kind: 'blob', method: 'GET', status: 200 })).toBe(0);
  });

  test('where the origin does not delete is told so, and stays', async () => {
    await using house = await startHouse();
    const pusher = pusherOf(house, 'ns');
    await pusher.image('v1', [layer]);
    house.origin.pushes.deletes = false;
    expect((await pusher.ask('DELETE', `blobs/${digest}`)).status).toBe(405);
    expect((await pusher.ask('GET', `blobs/${digest}`)).status).toBe(200);
  });
});

describe('a tag that is believed for a while', () => {
  test('means what was pushed last, at once', async () => {
    await using registry = await startHouse();
    const believing = { url: registry.origin.url, entry: { tagTtl: '60s' } };
    await using house = await startHouse({ registries: { [REGISTRY]: believing } });
    const pusher = pusherOf(house, 'ns');
    const first = await pusher.image('v1', [layer]);
    expect((await pusher.ask('HEAD', 'manifests/v1')).headers['docker-content-digest']).toBe(first.digest);
    const second = await pusher.image('v1', [layer, generatedBlob(10, 42)]);
    expect((await pusher.ask('HEAD', 'manifests/v1')).headers['docker-content-digest']).toBe(second.digest);
  });
});

describe('a blob that is mounted', () => {
  test('is mounted by the origin, and served from here if its bytes went through here', async () => {
    await using house = await startHouse();
    await pusherOf(house, 'path').image('v1', [layer]);
    const other = pusherOf(house, 'path', 'org/other');
    for (const from of [`&from=${REGISTRY}/${REPOSITORY}`, '']) {
      const mounted = await other.ask('POST', `blobs/uploads/?mount=${digest}${from}`);
      expect([mounted.status, mounted.headers['docker-content-digest']]).toEqual([201, digest]);
    }
    expect((await other.ask('GET', `blobs/${digest}`)).body.equals(readBytes(layer))).toBe(true);
    expect(house.origin.count({ kind: 'blob', method: 'GET', status: 200 })).toBe(0);
  });

  test('that the origin does not have, or that is of another registry, is an upload', async () => {
    await using house = await startHouse();
    const pusher = pusherOf(house, 'path');
    for (const from of [`${REGISTRY}/org/other`, 'quay.io/org/other']) {
      expect((await pusher.ask('POST', `blobs/uploads/?mount=${digest}&from=${from}`)).status).toBe(202);
    }
    expect(house.origin.requests.map(({ query }) => query.get('from'))).toEqual(['org/other', null]);
  });
});

function digestsIn(body: Buffer): string[] {
  return (JSON.parse(body.toString()) as { manifests: { digest: string }[] }).manifests.map((each) => each.digest);
}

function pusherOf({ tierUrl: url }: House, form: 'ns' | 'path', repository = REPOSITORY): PushClient {
  return form === 'ns'
    ? new PushClient({ url, repository, ns: REGISTRY })
    : new PushClient({ url, repository: `${REGISTRY}/${repository}` });
}
