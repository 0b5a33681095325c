import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { OciError } from '../../oci/error.ts';
import { formatReference, parseRegistry } from '../../oci/reference.ts';
import { type OciRequest, parseRequest } from '../../oci/request.ts';
import { anyText } from '../support/any-text.ts';
import { isDigestText, isRegistryInside, isRegistryText, isRepository, isTag } from './grammar.ts';

const NAMES = { default: parseRegistry('default.test'), isListed: (name: string) => name === 'lab' };
const DIGEST = `sha256:${'a'.repeat(64)}`;

const NAMES_AND_MARKS = [
  'org app v1 quay.io lab quay.io:443 [::1] 127.0.0.1 UPPER sha512:00 .. / // /v2 /v2/ /manifests/ /blobs/'.split(' '),
  '/uploads/ /tags/list /referrers/ ? & ?ns= &ns= ns=quay.io ns=quay.io%2fx %6es=quay.io = ; # @ : \\ + \0'.split(' '),
  '%2f %2F %5c %2e%2e %25 %00 %0d%0a %c0%af %61 %3a % %zz \n \u212a'.split(' '),
  [' ', DIGEST, DIGEST.toUpperCase()],
].flat();
const part = fc.constantFrom(...NAMES_AND_MARKS);
const parts = fc.array(part, { maxLength: 12 }).map((each) => each.join(''));

/** Endpoints as they should be, each piece of which may be replaced by anything. */
const repositories = fc
  .array(fc.constantFrom('org', 'app', 'quay.io', 'a-b', 'lab', '%61pp', 'x_y'), { minLength: 1, maxLength: 4 })
  .map((names) => names.join('/'));
const shaped = fc
  .tuple(
    fc.oneof({ arbitrary: repositories, weight: 6 }, { arbitrary: parts, weight: 1 }),
    fc.constantFrom('manifests', 'blobs'),
    fc.oneof({ arbitrary: fc.constantFrom('v1', DIGEST), weight: 6 }, { arbitrary: parts, weight: 1 }),
    fc.oneof({ arbitrary: fc.constantFrom('', '?ns=quay.io', '?x=1'), weight: 6 }, { arbitrary: parts, weight: 1 }),
  )
  .map(([repository, kind, reference, query]) => `/v2/${repository}/${kind}/${reference}${query}`);
const url = fc.oneof(parts, shaped, shaped, fc.webUrl({ withQueryParameters: true }), anyText());

function parse(raw: { method: string; url: string }, headers = {}): OciRequest | OciError {
  try {
    return parseRequest({ ...raw, headers }, NAMES);
  } catch (error) {
    if (error instanceof OciError) return error;
    throw error;
  }
}

/** The path as it was sent, with its percent-encodings undone by hand, once. */
function pathOf(target: string): string {
  const [path = ''] = target.split('?');
  const bytes: number[] = [];
  for (let at = 0; at < path.length; at += 1) {
    if (path[at] === '%') {
      bytes.push(Number.parseInt(path.slice(at + 1, at + 3), 16));
      at += 2;
    } else {
      bytes.push(...Buffer.from(path[at] ?? ''));
    }
  }
  return Buffer.from(bytes).toString('utf8');
}

describe('a request that is accepted', () => {
  test('says what its path says, in names of the grammar', () => {
    let accepted = 0;
    fc.assert(
      fc.property(url, (target) => {
        const request = parse({ method: 'GET', url: target });
        if (request instanceof OciError || (request.kind !== 'manifest' && request.kind !== 'blob')) return;
        accepted += 1;
        const { registry, repository, form, kind } = request;
        const reference = kind === 'blob' ? request.digest : formatReference(request.reference);
        expect([registry, isRegistryInside(registry)]).toEqual([registry, true]);
        expect([repository, isRepository(repository)]).toEqual([repository, true]);
        expect([reference, isDigestText(reference) || (kind === 'manifest' && isTag(reference))]).toEqual([
          reference,
          true,
        ]);

        // Put together again by hand, it is what came: nothing was dropped, added or looked at twice.
        const tail = `/${kind}s/${reference}`;
        const path = pathOf(target);
        expect(path.startsWith('/v2/') && path.endsWith(tail)).toBe(true);
        const name = path.slice('/v2/'.length, -tail.length);
        const [first = '', ...rest] = name.split('/');
        const given = form === 'path' ? rest.join('/') : name;
        expect([given, `library/${given}`]).toContain(repository);
        expect(form !== 'path' || isRegistryText(first)).toBe(true);
      }),
      { numRuns: 4_000 },
    );
    expect(accepted).toBeGreaterThan(400); // else nothing was tried
  });

  test('has one ns at most, and it is the registry', () => {
    const ns = fc.constantFrom('ns=quay.io', 'ns=QUAY.io:443', 'ns=quay.io.', 'ns=', 'x=1', '%6es=ghcr.io', 'ns=a/b');
    fc.assert(
      fc.property(fc.array(ns, { maxLength: 3 }), (query) => {
        const request = parse({ method: 'GET', url: `/v2/org/app/manifests/v1?${query.join('&')}` });
        const given = new URLSearchParams(query.join('&')).getAll('ns');
        const [only = ''] = given;
        const isGood = given.length === 0 || (given.length === 1 && isRegistryText(only));
        const registry = 'registry' in request ? request.registry : undefined;
        const meant = given.length === 0 ? NAMES.default : isGood ? parseRegistry(only) : undefined;
        expect(registry).toBe(meant);
      }),
      { numRuns: 500 },
    );
  });
});

describe('a request that is refused', () => {
  test("is refused as the client's mistake, whatever it was", () => {
    const method = fc.oneof(fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'get', '', 'CONNECT'), fc.string());
    const value = fc.oneof(fc.string(), fc.array(fc.string()), fc.constant(undefined));
    const headers = fc.record({ range: value, accept: value, 'if-none-match': value }, { requiredKeys: [] });
    fc.assert(
      fc.property(method, url, headers, (verb, target, more) => {
        const request = parse({ method: verb, url: target }, more);
        const expected = request instanceof OciError ? [400, 404, 405] : ['GET', 'HEAD'];
        expect(expected).toContain(request instanceof OciError ? request.status : verb);
      }),
      { numRuns: 2_000 },
    );
  });
});
