import { describe, expect, test } from 'vitest';
import { APP, REGISTRY, clientsOf, failureOf, httpServer } from '../fixtures.ts';
import { ask, tag } from './questions.ts';

describe('an anonymous caller', () => {
  test.each([
    ['one line', (url: string) => [`Bearer realm="${url}/token",service="s"`]],
    ['several lines', (url: string) => [`Bearer realm="${url}/token"`, 'Basic realm="x"']],
    ['odd spaces and cases', (url: string) => [`bEARER  Realm="${url}/token" ,  Service="s"`]],
  ])('is told the challenge byte for byte: %s', async (_name, linesOf) => {
    await using server = await httpServer((_request, response) => {
      response.writeHead(401, { 'www-authenticate': linesOf(server.url) }).end();
    });
    await using tier = clientsOf({ [REGISTRY]: server });
    expect((await failureOf(tier.registry().headManifest(APP, tag, ask))).challenge).toEqual(linesOf(server.url));
  });

  test.each([
    ['elsewhere', () => ['Bearer realm="https://evil.example/token"']],
    [
      'elsewhere in a second line',
      (url: string) => [`Bearer realm="${url}/token"`, 'Bearer realm="https://evil.example/"'],
    ],
    ['given twice', (url: string) => [`Bearer realm="${url}/token",realm="https://evil.example/"`]],
    ['with a user', (url: string) => [`Bearer realm="${url.replace('//', '//a@')}/token"`]],
    ['nowhere', () => ['Bearer service="s"']],
    ['of no scheme that anybody knows', () => ['Negotiate']],
    ['of no grammar', () => ['Bearer realm="unterminated']],
  ])('is not told a challenge whose realm is %s, but that there is nothing', async (_name, linesOf) => {
    await using server = await httpServer((_request, response) => {
      response.writeHead(401, { 'www-authenticate': linesOf(server.url) }).end();
    });
    await using tier = clientsOf({ [REGISTRY]: server });
    const failure = await failureOf(tier.registry().headManifest(APP, tag, ask));
    expect([failure.code, failure.denied, failure.challenge]).toEqual(['MANIFEST_UNKNOWN', true, undefined]);
  });

  test('is told nothing of a challenge when there is none', async () => {
    await using server = await httpServer((_request, response) => response.writeHead(401).end());
    await using tier = clientsOf({ [REGISTRY]: server });
    expect(await failureOf(tier.registry().headManifest(APP, tag, ask))).toMatchObject({ code: 'MANIFEST_UNKNOWN' });
  });
});
