import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { generatedBlob } from '../support/blobs.ts';
import { CertificateVolume, TestCa } from '../support/certificates.ts';
import { type House, startHouse } from '../support/house.ts';
import { testKubernetesApi } from '../support/kubernetes-api.ts';
import { tmpDir } from '../support/tmp-dir.ts';

const MIB = 1024 * 1024;
const ca = new TestCa();
/** Signed reads go to 127.0.0.1, which no certificate here names. */
const SERVICE = { names: ['localhost'] };
const AGENT = 'system:serviceaccount:circ:agent';

afterEach(() => void vi.unstubAllEnvs());

/** Files of both sides; further variables for each. */
async function secureHouse(
  more: { agent?: Record<string, string>; tier?: Record<string, string>; agentCa?: string } = {},
) {
  const stack = new AsyncDisposableStack();
  const [tierDir, agentDir] = [stack.use(await tmpDir()), stack.use(await tmpDir())];
  const tier = await new CertificateVolume(tierDir.path).write({ ...ca.issue(SERVICE), ca: ca.pem });
  const mine = ca.issue({ names: ['agent.test'], usage: 'client' });
  const agent = await new CertificateVolume(agentDir.path).write({ ...mine, ca: more.agentCa ?? ca.pem });
  const house = stack.use(
    await startHouse({
      tier: {
        CIRC_TLS_CERT_FILE: tier.certFile,
        CIRC_TLS_KEY_FILE: tier.keyFile,
        CIRC_TLS_CA_FILE: tier.caFile,
        ...more.tier,
      },
      agent: {
        CIRC_SHARED_TIER: 'localhost:1', // the house knows the port
        CIRC_TLS_CA_FILE: agent.caFile,
        CIRC_TLS_CERT_FILE: agent.certFile,
        CIRC_TLS_KEY_FILE: agent.keyFile,
        ...more.agent,
      },
    }),
  );
  await house.origin.addImage('org/app', 'v1', { layers: [generatedBlob(3 * MIB, 1), generatedBlob(MIB + 7, 2)] });
  return { house, tier, agent, mine, [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose]() };
}

function lines(house: House, part: string, text: string): Record<string, unknown>[] {
  return house.log.filter((line) => line['part'] === part && String(line['msg']).includes(text));
}

/** A house whose tier asks a Kubernetes API whose token it is that the agent shows. */
async function tokenHouse(first: string) {
  const stack = new AsyncDisposableStack();
  const api = stack.use(await testKubernetesApi());
  const directory = stack.use(await tmpDir());
  const tokenFile = join(directory.path, 'token');
  await writeFile(tokenFile, first);
  const kubeconfig = stack.use(await api.kubeconfigFile());
  vi.stubEnv('KUBECONFIG', kubeconfig.path);
  api.tokens.set('good-token', { user: AGENT, audiences: ['circ'] });
  api.tokens.set('foreign-token', { user: AGENT, audiences: ['vault'] });
  const { house } = stack.use(
    await secureHouse({
      tier: { CIRC_TIER_CLIENTS: 'tokenreview:circ:circ/agent' },
      agent: { CIRC_TIER_TOKEN_FILE: tokenFile },
    }),
  );
  return { api, house, tokenFile, [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose]() };
}

const away = /HEAD of v1: 503/;

describe('over TLS', () => {
  test('an image is pulled cold, warm and from the node, by a tier whose certificate names the service alone', async () => {
    await using it = await secureHouse();
    const { house } = it;
    await house.pull('org/app', 'v1');
    await expect.poll(() => house.ingests()).toBe(0); // what is still being put away counts as the origin's
    await house.pull('org/app', 'v1', { chunkBytes: 700_000 });
    await house.pull('org/app', 'v1');
    await expect.poll(() => house.answered('origin')).toBe(3);
    expect((await house.agentMetrics()).sum('circ_tier_distrusts_total')).toBe(0);
    expect((await house.tierMetrics()).sum('circ_read_bytes_total')).toBeGreaterThan(4 * MIB);
  });

  test('certificates and CA are renewed under way, with no pull failing', async () => {
    await using it = await secureHouse({ agent: { CIRC_AGENT_ADMIT: 'never' } });
    const { house } = it;
    const next = new TestCa('the next CA');
    await house.pull('org/app', 'v1');
    // As cert-manager's users do it: first everybody trusts both, then the certificate changes.
    await it.agent.write({ ...it.mine, ca: `${ca.pem}${next.pem}` });
    await vi.waitFor(() => expect(lines(house, 'agent', 'have changed')).toHaveLength(1), 10_000);
    await house.pull('org/app', 'v1');
    const renewed = next.issue({ ...SERVICE, validForMs: 7 * 24 * 3600_000 });
    await it.tier.write({ ...renewed, ca: ca.pem });
    await vi.waitFor(() => expect(lines(house, 'tier', 'have changed')).toHaveLength(1), 10_000);
    await house.pull('org/app', 'v1');
    await house.restartAgent();
    await house.pull('org/app', 'v1');
    const ends = (await house.tierMetrics()).sum('circ_tls_certificate_end_seconds', { certificate: 'shared-tier' });
    expect(ends).toBe(renewed.endsAtMs / 1000);
  });

  test('a tier with a certificate of another CA counts as away, and the agent says so once', async () => {
    await using it = await secureHouse({ agentCa: new TestCa('another CA').pem });
    const { house } = it;
    for (let time = 0; time < 3; time += 1) await expect(house.pull('org/app', 'v1')).rejects.toThrow(away);
    const [line, ...others] = lines(house, 'agent', 'no trust');
    expect(line).toMatchObject({
      kind: 'certificate',
      whatToDo: expect.stringContaining('CIRC_TLS_CA_FILE') as string,
    });
    expect(others).toEqual([]);
  });

  test('the mirror endpoint is https with a certificate of its own', async () => {
    await using directory = await tmpDir();
    const mirror = await new CertificateVolume(directory.path).write(ca.issue({ names: ['localhost'] }));
    await using it = await secureHouse({
      agent: { CIRC_AGENT_TLS_CERT_FILE: mirror.certFile, CIRC_AGENT_TLS_KEY_FILE: mirror.keyFile },
    });
    const outgoing = request(`${it.house.mirror}/v2/`, { ca: ca.pem, servername: 'localhost' });
    outgoing.end();
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
    expect(answer.resume().statusCode).toBe(200);
    const metrics = await it.house.agentMetrics();
    expect(metrics.sum('circ_tls_certificate_end_seconds', { certificate: 'mirror' })).toBeGreaterThan(0);
  });
});

describe('with client certificates', () => {
  test('an agent whose certificate has a listed name pulls', async () => {
    await using it = await secureHouse({ tier: { CIRC_TIER_CLIENTS: 'mtls:agent.test' } });
    await expect(it.house.pull('org/app', 'v1')).resolves.toMatchObject({ bytes: expect.any(Number) as number });
  });

  test('an agent without a listed name takes the tier for one that is away; both sides say why, once', async () => {
    await using it = await secureHouse({ tier: { CIRC_TIER_CLIENTS: 'mtls:another.test' } });
    for (let time = 0; time < 3; time += 1) await expect(it.house.pull('org/app', 'v1')).rejects.toThrow(away);
    expect(lines(it.house, 'agent', 'no trust')).toEqual([
      expect.objectContaining({ kind: 'identity', reason: expect.stringContaining('agent.test') as string }),
    ]);
    expect(lines(it.house, 'tier', 'caller refused')).toEqual([expect.objectContaining({ code: 'UNAUTHORIZED' })]);
    expect(it.house.origin.count({})).toBe(0);
  });
});

describe('with ServiceAccount tokens', () => {
  test('an agent pulls as long as its token is good, and the API is asked once', async () => {
    await using it = await tokenHouse('good-token');
    await it.house.pull('org/app', 'v1');
    await it.house.pull('org/app', 'v1');
    expect(it.api.reviews).toHaveLength(1);
    await it.api.down();
    await it.house.pull('org/app', 'v1'); // what is known stays known
  });

  test('an agent with a token for something else takes the tier for one that is away, until it is mended', async () => {
    await using it = await tokenHouse('foreign-token');
    for (let time = 0; time < 3; time += 1) await expect(it.house.pull('org/app', 'v1')).rejects.toThrow(away);
    expect(lines(it.house, 'agent', 'no trust')).toEqual([expect.objectContaining({ kind: 'identity' })]);
    expect(lines(it.house, 'tier', 'caller refused')).toHaveLength(1);
    await writeFile(it.tokenFile, 'good-token');
    await expect.poll(() => it.house.pull('org/app', 'v1').catch(() => 'away'), { timeout: 15_000 }).not.toBe('away');
    expect(JSON.stringify(it.house.log)).not.toContain('-token'); // tokens are in no log line
  });

  test('a tier that cannot ask the API lets nobody in, and says so', async () => {
    await using it = await tokenHouse('good-token');
    await it.api.down();
    await expect(it.house.pull('org/app', 'v1')).rejects.toThrow(away);
    expect(lines(it.house, 'tier', 'caller refused')).toEqual([expect.objectContaining({ code: 'UNAVAILABLE' })]);
  });
});
