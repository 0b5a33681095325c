import { describe, expect, test } from 'vitest';
import { OciError } from '../../oci/error.ts';
import { DIGEST, servingOneOfEach } from './fixtures.ts';

const INDEX = 'application/vnd.oci.image.index.v1+json';

describe('a list', () => {
  test('of tags is JSON, and is asked for with the query of the client', async () => {
    await using it = await servingOneOfEach();
    const answer = await it.ask('/v2/org/app/tags/list?n=2&ns=quay.io');
    expect(answer).toMatchObject({
      status: 200,
      headers: { 'content-type': 'application/json', 'oci-namespace': 'quay.io' },
    });
    expect(JSON.parse(answer.body.toString())).toEqual({ query: 'n=2' });
    expect(answer.headers).not.toHaveProperty('link');
    expect(it.report).toMatchObject([{ request: { kind: 'list' }, status: 200, outcome: 'origin' }]);
  });

  test('of referrers is an index, and says by what it was filtered', async () => {
    await using it = await servingOneOfEach();
    it.source.filters = 'artifactType';
    const answer = await it.ask(`/v2/org/app/referrers/${DIGEST}?artifactType=a%2Fb`);
    expect(answer.headers).toMatchObject({ 'content-type': INDEX, 'oci-filters-applied': 'artifactType' });
    expect(JSON.parse(answer.body.toString())).toEqual({ subject: DIGEST, query: 'artifactType=a%2Fb' });
  });

  test.each([
    ['/v2/org/app/tags/list?ns=quay.io', '</v2/org/app/tags/list?n=2&last=b&ns=quay.io>; rel="next"'],
    ['/v2/quay.io/org/app/tags/list', '</v2/quay.io/org/app/tags/list?n=2&last=b>; rel="next"'],
    ['/v2/org/app/tags/list', '</v2/org/app/tags/list?n=2&last=b>; rel="next"'],
    [`/v2/a/b/referrers/${DIGEST}`, `</v2/a/b/referrers/${DIGEST}?n=2&last=b>; rel="next"`],
  ])('%s goes on at the address as the client spells it', async (url, link) => {
    await using it = await servingOneOfEach();
    it.source.next = 'n=2&last=b';
    expect((await it.ask(url)).headers['link']).toBe(link);
  });

  test('has no body when it is asked for with HEAD, but its length', async () => {
    await using it = await servingOneOfEach();
    const { body } = await it.ask('/v2/org/app/tags/list');
    const head = await it.ask('/v2/org/app/tags/list', { method: 'HEAD' });
    expect([head.status, head.body.length, head.headers['content-length']]).toEqual([200, 0, `${body.length}`]);
  });

  test('that is refused is answered in the form of the specification, with the challenge', async () => {
    await using it = await servingOneOfEach();
    it.source.fail = new OciError('UNAUTHORIZED', 'authentication is needed', { challenge: ['Bearer realm="a"'] });
    const answer = await it.ask('/v2/org/app/tags/list');
    expect([answer.status, answer.headers['www-authenticate']]).toEqual([401, 'Bearer realm="a"']);
    expect(JSON.parse(answer.body.toString())).toMatchObject({ errors: [{ code: 'UNAUTHORIZED' }] });
  });

  test('is only read', async () => {
    await using it = await servingOneOfEach();
    for (const method of ['PUT', 'POST', 'DELETE']) {
      expect((await it.ask('/v2/org/app/tags/list', { method })).status).toBe(405);
    }
  });
});
