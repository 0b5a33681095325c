import type { TLSSocket } from 'node:tls';
import { describe, expect, test } from 'vitest';
import { connectSecure } from '../../agent/tier-connect.ts';
import { connectPlain } from '../../service/read-connection.ts';
import { openTierRead } from '../../agent/tier-read.ts';
import { TestCa } from '../support/certificates.ts';
import { type ScriptedServer, scripted } from '../support/house-tcp.ts';
import { type TestMaterial, testMaterial } from '../support/material.ts';
import { BYTES, codeOf, collect, good, open, pool } from './fixtures.ts';

const [ca, otherCa] = [new TestCa(), new TestCa('another CA')];
const SERVICE = 'tier.test';

function trusting({ material }: TestMaterial, { serviceName = SERVICE, failures = [] as Error[] } = {}) {
  return connectSecure({ material, serviceName, failed: (error) => failures.push(error) });
}

async function readWhole(server: ScriptedServer, connect: ReturnType<typeof trusting>): Promise<boolean> {
  return (await collect(await open(server, { connect }))).equals(BYTES);
}

describe('connectSecure', () => {
  test('reads from an address whose certificate names the service', async () => {
    await using server = await scripted(good, ca.issue({ names: [SERVICE] }));
    await using tls = await testMaterial({ ca: ca.pem });
    expect(await readWhole(server, trusting(tls))).toBe(true);
  });

  test('reads from a service that is known by its address', async () => {
    await using server = await scripted(good, ca.issue({ ips: ['127.0.0.1'] }));
    await using tls = await testMaterial({ ca: ca.pem });
    expect(await readWhole(server, trusting(tls, { serviceName: '127.0.0.1' }))).toBe(true);
  });

  test.each([
    ['of another CA', otherCa.issue({ names: [SERVICE] }), /issuer|self-signed|verify/],
    ['with another name', ca.issue({ names: ['stranger.test'] }), /altnames/],
    ['that names only the address that is dialled', ca.issue({ ips: ['127.0.0.1'] }), /altnames/],
    ['that has ended', ca.issue({ names: [SERVICE], validForMs: -1_000 }), /expired/],
    ['that is a client´s', ca.issue({ names: [SERVICE], usage: 'client' }), /purpose/],
  ])('sends nothing to a server with a certificate %s, and says why', async (_name, certificate, told) => {
    await using server = await scripted(good, certificate);
    await using tls = await testMaterial({ ca: ca.pem });
    const failures: Error[] = [];
    expect(await codeOf(open(server, { connect: trusting(tls, { failures }) }))).toBe('UNAVAILABLE');
    expect(failures.map(({ message }) => message)).toEqual([expect.stringMatching(told)]);
    expect(server.requests).toEqual([]);
  });

  test('tells of a server without TLS', async () => {
    await using server = await scripted((socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    await using tls = await testMaterial({ ca: ca.pem });
    const failures: Error[] = [];
    const url = new URL(server.url.href.replace('http:', 'https:'));
    const options = { pool: pool(), signal: new AbortController().signal, connect: trusting(tls, { failures }) };
    expect(await codeOf(openTierRead(url, { start: 0, end: 5 }, options))).toBe('UNAVAILABLE');
    expect(failures).toHaveLength(1);
  });

  test('takes no URL without TLS, nor one with TLS when it is configured without', async () => {
    await using tls = await testMaterial({ ca: ca.pem });
    await using plain = await scripted(good);
    await using secure = await scripted(good, ca.issue({ names: [SERVICE] }));
    expect(await codeOf(open(plain, { connect: trusting(tls) }))).toBe('UNAVAILABLE');
    expect(await codeOf(open(secure, { connect: connectPlain }))).toBe('UNAVAILABLE');
    expect([plain.connections, secure.connections]).toEqual([0, 0]);
  });

  test('resumes sessions, but not beyond a change of what it trusts', async () => {
    const reused: boolean[] = [];
    await using server = await scripted(
      (socket, request) => {
        reused.push((socket as TLSSocket).isSessionReused());
        good(socket, request);
      },
      ca.issue({ names: [SERVICE] }),
    );
    await using tls = await testMaterial({ ca: ca.pem });
    const connect = trusting(tls);
    for (let time = 0; time < 3; time += 1) await readWhole(server, connect);
    await tls.rotate({ ca: `${otherCa.pem}${ca.pem}` });
    await readWhole(server, connect);
    expect(reused).toEqual([false, true, true, false]);
  });

  test('trusts what the files say at the moment of the connection', async () => {
    await using server = await scripted(good, ca.issue({ names: [SERVICE] }));
    await using tls = await testMaterial({ ca: ca.pem });
    const connect = trusting(tls);
    expect(await readWhole(server, connect)).toBe(true);
    await tls.rotate({ ca: otherCa.pem });
    expect(await codeOf(open(server, { connect }))).toBe('UNAVAILABLE');
    await tls.rotate({ ca: ca.pem });
    expect(await readWhole(server, connect)).toBe(true);
  });
});
