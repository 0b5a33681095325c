import { describe, expect, test } from 'vitest';
import { authorize } from '../support/containerd-auth.ts';
import { type House, type HouseOptions, REGISTRY, startHouse } from '../support/house.ts';
import { type Answer, type AskOptions, ask } from '../support/origin-client.ts';
import { MEDIA_TYPES } from '../support/origin-content.ts';

const REPOSITORY = 'org/app';
const INDEX = MEDIA_TYPES.oci.index;
const ALICE = { user: 'alice', password: 'alice-password' };

type Form = 'ns' | 'path';

/** A request below the repository, at the agent. */
async function askAgent(house: House, form: Form, path: string, options: AskOptions = {}): Promise<Answer> {
  const name = form === 'path' ? `${REGISTRY}/${REPOSITORY}` : REPOSITORY;
  const query = form === 'path' ? '' : `${path.includes('?') ? '&' : '?'}ns=${REGISTRY}`;
  return await ask(`${house.mirror}/v2/${name}/${path}${query}`, options);
}

/** The tags of an answer, and where it says that they go on. */
function read(answer: Answer): { tags: unknown; next: string | undefined } {
  const next = /^<(\/v2\/[^>]+)>; rel="next"$/.exec(String(answer.headers['link']))?.[1];
  return { tags: (JSON.parse(answer.body.toString()) as { tags?: unknown }).tags, next };
}

function digestsIn({ body }: Answer): string[] {
  return (JSON.parse(body.toString()) as { manifests: { digest: string }[] }).manifests.map(({ digest }) => digest);
}

async function withTags(tags: readonly string[], options: HouseOptions = {}): Promise<House> {
  const house = await startHouse(options);
  for (const tag of tags) house.origin.addManifest(REPOSITORY, tag, { schemaVersion: 2 }, MEDIA_TYPES.oci.manifest);
  return house;
}

describe.each(['ns', 'path'] as const)('the tags of a repository, asked for at the agent (%s form)', (form) => {
  test('are those of the registry, page by page, at the address of the agent', async () => {
    await using house = await withTags(['a', 'b', 'c']);
    const first = read(await askAgent(house, form, 'tags/list?n=2'));
    expect(first.tags).toEqual(['a', 'b']);
    const second = read(await ask(`${house.mirror}${first.next ?? ''}`));
    expect(second).toEqual({ tags: ['c'], next: undefined });
    expect((await house.agentMetrics()).sum('circ_requests_total', { kind: 'list', outcome: 'origin' })).toBe(2);
  });

  test('are told to who may see them only, with the credentials that came along', async () => {
    const origin = {
      auth: 'bearer',
      users: { alice: { password: ALICE.password, repositories: [REPOSITORY] } },
      privateRepositories: [REPOSITORY],
    } as const;
    await using house = await withTags(['a'], { origin });
    const asked = await askAgent(house, form, 'tags/list');
    expect(asked.status).toBe(401);
    const authorizations = {
      // containerd's way: the registry's own challenge, a token, and that is what the agent sees.
      ns: async () => {
        expect(asked.headers['www-authenticate']).toBe(house.origin.challenge(REPOSITORY));
        return (await authorize(house.origin.challenge(REPOSITORY), REPOSITORY, ALICE)).authorization ?? '';
      },
      // The others' way: the password, for which the shared tier gets the token.
      path: async () => {
        expect(asked.headers['www-authenticate']).toBe('Basic realm="circ"');
        return `Basic ${Buffer.from(`${ALICE.user}:${ALICE.password}`).toString('base64')}`;
      },
    };
    const authorization = await authorizations[form]();
    const answer = await askAgent(house, form, 'tags/list', { headers: { authorization } });
    expect(read(answer).tags).toEqual(['a']);
    // Nobody else has it now.
    expect((await askAgent(house, form, 'tags/list')).status).toBe(401);
    const other = `Basic ${Buffer.from('bob:none').toString('base64')}`;
    const refused = await askAgent(house, form, 'tags/list', { headers: { authorization: other } });
    expect(refused.status).toBe(404);
    expect(JSON.stringify(house.log)).not.toContain(ALICE.password);
  });
});

test('a list is what the registry says at that moment: nothing of it is kept', async () => {
  await using house = await withTags(['a']);
  expect(read(await askAgent(house, 'ns', 'tags/list')).tags).toEqual(['a']);
  house.origin.addManifest(REPOSITORY, 'b', { schemaVersion: 2 }, MEDIA_TYPES.oci.manifest);
  expect(read(await askAgent(house, 'ns', 'tags/list')).tags).toEqual(['a', 'b']);
});

describe.each([true, false])('what refers to a manifest, at a registry with the referrers API: %s', (hasApi) => {
  test('is told by the agent, all of it or of one type', async () => {
    await using house = await startHouse();
    const { origin } = house;
    origin.pushes.referrers = hasApi;
    const subject = origin.addManifest(REPOSITORY, 'v1', { schemaVersion: 2 }, MEDIA_TYPES.oci.manifest);
    const manifests = ['application/sbom', 'application/signature'].map((artifactType) => {
      const artifact = { schemaVersion: 2, artifactType, subject: { ...subject, size: subject.sizeBytes } };
      const { digest, sizeBytes } = origin.addManifest(REPOSITORY, undefined, artifact, MEDIA_TYPES.oci.manifest);
      return { mediaType: MEDIA_TYPES.oci.manifest, digest, size: sizeBytes, artifactType };
    });
    const byTag = { schemaVersion: 2, mediaType: INDEX, manifests };
    if (!hasApi) origin.addManifest(REPOSITORY, subject.digest.replace(':', '-'), byTag, INDEX);

    const all = await askAgent(house, 'path', `referrers/${subject.digest}`);
    expect([all.status, all.headers['content-type']]).toEqual([200, INDEX]);
    expect(digestsIn(all)).toEqual(manifests.map(({ digest }) => digest));
    const some = await askAgent(house, 'ns', `referrers/${subject.digest}?artifactType=application%2Fsbom`);
    expect([some.headers['oci-filters-applied'], digestsIn(some)]).toEqual(['artifactType', [manifests[0]?.digest]]);
    expect(digestsIn(await askAgent(house, 'ns', `referrers/sha256:${'0'.repeat(64)}`))).toEqual([]);
  });
});

describe('there is no list, and the client is told so at once,', () => {
  test('of a repository that is not there, nor of a registry that is not served here', async () => {
    await using house = await startHouse({ origins: { deny: ['denied.test'] } });
    for (const url of ['absent/repository/tags/list?ns=' + REGISTRY, 'a/tags/list?ns=denied.test']) {
      const answer = await ask(`${house.mirror}/v2/${url}`);
      expect([url, answer.status]).toEqual([url, 404]);
      expect(JSON.parse(answer.body.toString())).toMatchObject({ errors: [{ code: 'NAME_UNKNOWN' }] });
    }
  });

  test('when a page comes instead', async () => {
    await using house = await withTags(['a']);
    house.origin.mood = { html: true };
    expect((await askAgent(house, 'ns', 'tags/list')).status).toBe(503);
    house.origin.mood = { loginRedirect: true };
    expect((await askAgent(house, 'ns', 'tags/list')).status).toBe(503);
  });

  test('while the shared tier or the registry is away', async () => {
    await using house = await withTags(['a']);
    house.origin.mood = { status: 503 };
    expect((await askAgent(house, 'ns', 'tags/list')).status).toBe(503);
    house.origin.mood = {};
    await house.stopTier();
    expect((await askAgent(house, 'ns', 'tags/list')).status).toBe(503);
    await house.startTier();
    await expect.poll(async () => (await askAgent(house, 'ns', 'tags/list')).status, { timeout: 15_000 }).toBe(200);
  }, 60_000);
});
