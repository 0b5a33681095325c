import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Caller } from '../../agent/grants.ts';
import { TierClient } from '../../agent/tier-client.ts';
import { tierCredentials } from '../../agent/tier-credentials.ts';
import { distrustIn } from '../../agent/tier-trust.ts';
import { TokenFile } from '../../agent/token-file.ts';
import { digestOf } from '../../oci/digest.ts';
import { parseRegistry, parseRepository } from '../../oci/reference.ts';
import { FollowingServerCredentials } from '../../shared-tier/grpc-credentials.ts';
import { type Issued, TestCa } from '../support/certificates.ts';
import { scriptedTier } from '../support/house-tier.ts';
import { type Pem, testMaterial } from '../support/material.ts';
import { tmpDir } from '../support/tmp-dir.ts';

const [ca, otherCa] = [new TestCa(), new TestCa('another CA')];
const SERVICE = 'tier.test';
const REGISTRY = parseRegistry('registry.test');
const CALLER: Caller = {
  registry: REGISTRY,
  repository: parseRepository('org/app', REGISTRY),
  form: 'ns',
  authorization: undefined,
};

/** A tier with this certificate, and an agent that has these files and looks for this name. */
async function between(
  certificate: Issued,
  agent: Pem,
  { serviceName = SERVICE, token }: { serviceName?: string; token?: TokenFile } = {},
) {
  const stack = new AsyncDisposableStack();
  const server = stack.use(await testMaterial({ ...certificate, ca: ca.pem }));
  const credentials = stack.use(new FollowingServerCredentials(server.material, { asksForCertificate: true }));
  const tier = stack.use(await scriptedTier({ openBlob: () => ({ size: 7 }) }, { credentials }));
  const tls = stack.use(await testMaterial(agent));
  const failures: unknown[] = [];
  const client = (): TierClient =>
    stack.use(
      new TierClient(tier.address, {
        credentials: tierCredentials({ material: tls.material, serviceName, token }),
        failed: (error) => failures.push(error),
      }),
    );
  return {
    tier,
    server,
    tls,
    failures,
    client,
    ask: async (of: TierClient) =>
      (await of.openBlob(CALLER, digestOf(Buffer.from('a')), { grant: new Uint8Array(), statOnly: true })).sizeBytes,
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

describe('an agent with a CA', () => {
  test('asks a tier at an address whose certificate names the service', async () => {
    await using it = await between(ca.issue({ names: [SERVICE] }), { ca: ca.pem });
    expect(await it.ask(it.client())).toBe(7);
    expect(it.failures).toEqual([]);
  });

  test('asks a service that is known by its address', async () => {
    await using it = await between(ca.issue({ ips: ['127.0.0.1'] }), { ca: ca.pem }, { serviceName: '127.0.0.1' });
    expect(await it.ask(it.client())).toBe(7);
  });

  test.each([
    ['of another CA', otherCa.issue({ names: [SERVICE] })],
    ['with another name', ca.issue({ names: ['stranger.test'] })],
    ['that names only the address that is dialled', ca.issue({ ips: ['127.0.0.1'] })],
    ['that has ended', ca.issue({ names: [SERVICE], validForMs: -1_000 })],
  ])('takes a tier with a certificate %s for one that is away, and knows why', async (_name, certificate) => {
    await using it = await between(certificate, { ca: ca.pem });
    await expect(it.ask(it.client())).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(it.tier.blobQuestions).toEqual([]);
    expect(it.failures.map((each) => distrustIn(each)?.kind)).toEqual(['certificate']);
  });

  test('does not ask a tier without TLS', async () => {
    await using tier = await scriptedTier();
    await using tls = await testMaterial({ ca: ca.pem });
    const credentials = tierCredentials({ material: tls.material, serviceName: SERVICE, token: undefined });
    using client = new TierClient(tier.address, { credentials });
    const asking = client.openBlob(CALLER, digestOf(Buffer.from('a')), { grant: new Uint8Array(), statOnly: true });
    await expect(asking).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(tier.blobQuestions).toEqual([]);
  });

  test('trusts what its files say when it connects; connections that are there go on', async () => {
    await using it = await between(ca.issue({ names: [SERVICE] }), { ca: ca.pem });
    const old = it.client();
    expect(await it.ask(old)).toBe(7);
    await it.tls.rotate({ ca: otherCa.pem });
    await it.server.rotate({ ...otherCa.issue({ names: [SERVICE] }), ca: ca.pem });
    expect(await it.ask(old)).toBe(7);
    expect(await it.ask(it.client())).toBe(7);
  });

  test('finds a tier again whose new CA its files get to know later', async () => {
    await using it = await between(otherCa.issue({ names: [SERVICE] }), { ca: ca.pem });
    const client = it.client();
    await expect(it.ask(client)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await it.tls.rotate({ ca: `${ca.pem}${otherCa.pem}` });
    await expect.poll(() => it.ask(client).catch(() => 'away'), { timeout: 10_000 }).toBe(7);
  });

  test('shows its certificate if it has one, and the renewed one later', async () => {
    const mine = ca.issue({ names: ['agent.test'], usage: 'client' });
    await using it = await between(ca.issue({ names: [SERVICE] }), { ca: ca.pem, ...mine });
    expect(await it.ask(it.client())).toBe(7);
    await it.tls.rotate({ ca: ca.pem, ...ca.issue({ names: ['agent.test'], usage: 'client' }) });
    expect(await it.ask(it.client())).toBe(7);
  });
});

test('an agent´s token goes along with every question, as it is then, and never in Authorization', async () => {
  await using directory = await tmpDir();
  const path = join(directory.path, 'token');
  await writeFile(path, 'first\n');
  const token = new TokenFile(path, { rereadMs: 0 });
  await using it = await between(ca.issue({ names: [SERVICE] }), { ca: ca.pem }, { token });
  const client = it.client();
  await it.ask(client);
  await writeFile(path, 'renewed');
  await it.ask(client);
  expect(it.tier.metadata.map((each) => each.get('circ-agent-token'))).toEqual([['first'], ['renewed']]);
  expect(it.tier.metadata.flatMap((each) => each.get('authorization'))).toEqual([]);
});

test('an agent whose token cannot be read does not ask, and knows why', async () => {
  const token = new TokenFile('/no/such/token');
  await using it = await between(ca.issue({ names: [SERVICE] }), { ca: ca.pem }, { token });
  await expect(it.ask(it.client())).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  expect(it.tier.blobQuestions).toEqual([]);
  expect(it.failures.map((each) => distrustIn(each)?.kind)).toEqual(['token']);
});
