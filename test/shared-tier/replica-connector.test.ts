import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterAll, describe, expect, test } from 'vitest';
import { digestOf } from '../../oci/digest.ts';
import { Replicas } from '../../shared-tier/replicas.ts';
import { Seal } from '../../shared-tier/seal.ts';
import type { ReadClaims } from '../../shared-tier/signed-reads.ts';
import { type Issued, TestCa } from '../support/certificates.ts';
import { testMaterial } from '../support/material.ts';
import { APP, REGISTRY, failureOf, forever, httpServer } from './fixtures.ts';

const ca = new TestCa();
const strangers = new TestCa('another CA');
const seal = new Seal<ReadClaims>(Buffer.alloc(32, 1), 'read');
const digest = digestOf(Buffer.from('content'));
const NAMES = ['circ.circ-system.svc', 'circ-shared-tier'];

const own = await testMaterial({ ...ca.issue({ names: NAMES }), ca: ca.pem });
afterAll(async () => await own[Symbol.asyncDispose]());

/** Another replica with this certificate, which has all that is asked for. */
async function replicaWith({ cert, key }: Issued) {
  let requests = 0;
  const server = createServer({ cert, key }, (_request, response) => {
    requests += 1;
    response.writeHead(206, { 'content-range': 'bytes 0-6/7', 'content-length': '7' }).end('content');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    get requests() {
      return requests;
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function readAt(replicas: Replicas, address: string): Promise<string> {
  const source = replicas.source({ identity: 'other', address, storeId: 'store' }, { registry: REGISTRY });
  const body = await source.getBlob(APP, digest, { start: 0, end: 7 }, { signal: forever });
  const pieces = [];
  for await (const piece of body.pieces) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

describe('a replica with a certificate', () => {
  test.each([
    ['the same names', NAMES],
    ['one of them', NAMES.slice(1)],
  ])('reads at an address whose certificate has %s', async (_which, names) => {
    await using other = await replicaWith(ca.issue({ names }));
    await using replicas = new Replicas({ seal, material: own.material });
    expect(await readAt(replicas, other.address)).toBe('content');
    expect(await readAt(replicas, other.address)).toBe('content');
  });

  test.each([
    ['other names', ca.issue({ names: ['registry.test'] })],
    ['an address only', ca.issue({ ips: ['127.0.0.1'] })],
    ['another CA', strangers.issue({ names: NAMES })],
    ['its time over', ca.issue({ names: NAMES, validForMs: -1_000 })],
  ])('asks nothing of one with %s', async (_what, issued) => {
    await using other = await replicaWith(issued);
    await using replicas = new Replicas({ seal, material: own.material });
    expect((await failureOf(readAt(replicas, other.address))).code).toBe('UNAVAILABLE');
    expect(other.requests).toBe(0);
  });

  test('asks nothing of one without TLS', async () => {
    await using other = await httpServer((_request, response) => response.end());
    await using replicas = new Replicas({ seal, material: own.material });
    expect((await failureOf(readAt(replicas, other.host))).code).toBe('UNAVAILABLE');
    expect(other.requests).toEqual([]);
  });

  test('follows a change of its certificate and of the CA', async () => {
    await using rotating = await testMaterial({ ...ca.issue({ names: NAMES }), ca: ca.pem });
    await using replicas = new Replicas({ seal, material: rotating.material });
    await using other = await replicaWith(strangers.issue({ names: NAMES }));
    expect((await failureOf(readAt(replicas, other.address))).code).toBe('UNAVAILABLE');
    await rotating.rotate({ ...strangers.issue({ names: NAMES }), ca: strangers.pem });
    expect(await readAt(replicas, other.address)).toBe('content');
  });
});
