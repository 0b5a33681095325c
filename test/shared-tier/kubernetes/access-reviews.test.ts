import { describe, expect, test } from 'vitest';
import { OciError } from '../../../oci/error.ts';
import { AccessReviews } from '../../../shared-tier/kubernetes/access-reviews.ts';
import { KubernetesApi } from '../../../shared-tier/kubernetes/api.ts';
import { testKubernetesApi } from '../../support/kubernetes-api.ts';

const ADMIN = { username: 'jane', uid: '7', groups: ['ops'], extra: { scopes: ['a', 'b'] } };
const DEED = { verb: 'get', path: '/circ.v1.Admin/GetStats' } as const;

async function reviewing() {
  const running = new AsyncDisposableStack();
  const api = running.use(await testKubernetesApi());
  const client = running.use(new KubernetesApi({ answerMs: 2_000 }));
  client.loadFromString(api.kubeconfig);
  return { api, reviews: new AccessReviews(client), [Symbol.asyncDispose]: () => running.disposeAsync() };
}

describe('AccessReviews', () => {
  test('asks with everything that authorization may decide by, and believes the answer', async () => {
    await using it = await reviewing();
    expect(await it.reviews.isAllowed(ADMIN, { ...DEED, verb: 'post' })).toBe(false);
    it.api.rights.add(`jane get ${DEED.path}`);
    expect(await it.reviews.isAllowed(ADMIN, DEED)).toBe(true);
    expect(it.api.accessReviews.at(-1)?.spec).toEqual({
      user: 'jane',
      uid: '7',
      groups: ['ops'],
      extra: { scopes: ['a', 'b'] },
      nonResourceAttributes: DEED,
    });
  });

  test('asks once for equal questions, and again for anybody or anything else', async () => {
    await using it = await reviewing();
    const ask = async (groups: string[]) => await it.reviews.isAllowed({ ...ADMIN, groups }, DEED);
    await Promise.all([ask(['ops']), ask(['ops'])]);
    await ask(['ops']);
    expect(it.api.accessReviews).toHaveLength(1);
    await ask(['guests']);
    await it.reviews.isAllowed(ADMIN, { ...DEED, path: '/circ.v1.Admin/ListBlobs' });
    expect(it.api.accessReviews).toHaveLength(3);
  });

  test.each([
    [403, 'may not create subjectaccessreviews'],
    [500, 'cannot ask the Kubernetes API'],
  ])('says what to do about %i, which is neither yes nor no', async (status, message) => {
    await using it = await reviewing();
    it.api.mood = { status };
    const error: unknown = await it.reviews.isAllowed(ADMIN, DEED).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(OciError);
    expect(error).toMatchObject({ code: 'UNAVAILABLE', message: expect.stringContaining(message) as string });
    it.api.mood = {};
    it.api.rights.add(`jane get ${DEED.path}`);
    expect(await it.reviews.isAllowed(ADMIN, DEED)).toBe(true);
  });
});
