import { type ServerHttp2Stream, createServer as createHttp2Server } from 'node:http2';
import { createServer } from 'node:http';
import type { AddressInfo, Server } from 'node:net';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { generatedBlob } from '../../support/blobs.ts';
import { PRIVATE } from '../../support/registries/fixtures.ts';
import { gitlab } from '../../support/registries/gitlab.ts';
import { startHouse } from '../../support/house.ts';
import { testKubernetesApi } from '../../support/kubernetes-api.ts';
import { findingsOf, foundIn, healthyNode } from './fixtures.ts';

/** Listens at a port of its own; disposing closes it. */
async function listening(server: Server) {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', () => resolve());
  await promise;
  const { port } = server.address() as AddressInfo;
  return { address: `127.0.0.1:${port}`, [Symbol.asyncDispose]: async () => void server.close() };
}

/** Answers every call of gRPC with an empty message, and with this date. */
function grpcWithClock(offMs: number) {
  const server = createHttp2Server();
  server.on('stream', (stream: ServerHttp2Stream) => {
    const date = new Date(Date.now() + offMs).toUTCString();
    stream.respond({ ':status': 200, 'content-type': 'application/grpc', date }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end(Buffer.alloc(5));
  });
  return server;
}

describe('the doctor finds', () => {
  test('a port that is taken, and by whom', async () => {
    await using node = await healthyNode();
    await using other = await listening(createServer((_request, response) => response.end('{}')));
    const [finding] = findingsOf(await node.diagnose({ CIRC_AGENT_LISTEN: other.address }), 'port-taken');
    expect(finding?.problem).toMatch(
      new RegExp(`^${other.address} is taken by .+ \\(process ${process.pid}\\), which is no circ`),
    );
  });

  test('a registry, which answers like a mirror, in the place of the agent', async () => {
    await using node = await healthyNode();
    const { host } = node.house.origin;
    expect(findingsOf(await node.diagnose({ CIRC_AGENT_LISTEN: host }), 'port-taken')[0]?.problem).toContain(
      'is taken by',
    );
  });

  test('an agent that does not run', async () => {
    await using node = await healthyNode();
    await node.house.stopAgent();
    const diagnosis = await node.diagnose();
    expect(foundIn(diagnosis)).toEqual(['port-taken']);
    expect(findingsOf(diagnosis, 'port-taken')[0]?.problem).toContain('nobody listens');
  });

  test('a shared tier that is away, or whose name means nothing', async () => {
    await using node = await healthyNode();
    await node.house.stopTier();
    const away = await node.diagnose();
    expect(foundIn(away)).toEqual(['tier-unreachable']);
    expect(findingsOf(away, 'tier-unreachable')[0]?.problem).toMatch(/cannot be reached: .*ECONNREFUSED [\d.:]+$/);
    expect(away['clock-off']?.kind).toBe('skipped');
    expect(away['credentials-refused']?.kind).toBe('skipped');
    const lost = await node.diagnose({ CIRC_SHARED_TIER: 'tier.invalid:5060', CIRC_INSECURE: 'true' });
    expect(findingsOf(lost, 'tier-unreachable')[0]?.problem).toContain('cannot be reached');
  });

  test.each([
    [-3_600_000, '3600 s ahead of'],
    [600_000, '600 s behind'],
  ])('a clock that is off: the shared tier’s is %i ms away', async (offMs, told) => {
    await using node = await healthyNode();
    await using tier = await listening(grpcWithClock(offMs));
    const [finding] = findingsOf(await node.diagnose({ CIRC_SHARED_TIER: tier.address }), 'clock-off');
    expect(finding?.problem.replace(/\d+(?= s)/, (n) => String(Math.round(Number(n) / 10) * 10))).toContain(told);
  });

  test('nothing wrong with a clock that is a few seconds off', async () => {
    await using node = await healthyNode();
    await using tier = await listening(grpcWithClock(5_000));
    expect((await node.diagnose({ CIRC_SHARED_TIER: tier.address }))['clock-off']?.kind).toBe('ok');
  });

  test('that the shared tier refuses this node’s token', async () => {
    await using api = await testKubernetesApi();
    await using kubeconfig = await api.kubeconfigFile();
    const before = process.env['KUBECONFIG'];
    process.env['KUBECONFIG'] = kubeconfig.path; // what the client of Kubernetes reads
    try {
      await using node = await healthyNode({ tier: { CIRC_TIER_CLIENTS: 'tokenreview:circ:circ/agent' } });
      expect(findingsOf(await node.diagnose(), 'credentials-refused')[0]?.problem).toContain(
        'sent no ServiceAccount token',
      );
      const tokenFile = join(node.root, 'token');
      await writeFile(tokenFile, 'a-token');
      const wrong = await node.diagnose({ CIRC_TIER_TOKEN_FILE: tokenFile });
      expect(findingsOf(wrong, 'credentials-refused')[0]?.problem).toContain('token is not valid');
      api.tokens.set('right', { user: 'system:serviceaccount:circ:agent', audiences: ['circ'] });
      await writeFile(tokenFile, 'right');
      expect((await node.diagnose({ CIRC_TIER_TOKEN_FILE: tokenFile }))['credentials-refused']?.kind).toBe('ok');
    } finally {
      if (before === undefined) delete process.env['KUBECONFIG'];
      else process.env['KUBECONFIG'] = before;
    }
  });

  test('that the registry refuses an account, and not the right one', async () => {
    await using node = await healthyNode();
    const users = { jane: { password: 'right', repositories: [PRIVATE] } };
    await using registry = await gitlab.start({ users, privateRepositories: [PRIVATE] });
    await registry.addImage(PRIVATE, 'v1', { layers: [generatedBlob(1_000)] });
    await using house = await startHouse({ registries: { [gitlab.name]: registry } });
    const { host, port } = house.tierGrpc;
    const env = { CIRC_SHARED_TIER: `${host}:${port}` };
    const image = `${gitlab.name}/${PRIVATE}:v1`;
    const login = ['--image', image, '--username', 'jane', '--password-stdin'];
    const bare = await node.diagnose(env, ['--image', image]);
    expect(findingsOf(bare, 'credentials-refused')[0]?.problem).toBe(
      `the registry does not give ${image} without credentials`,
    );
    const wrong = await node.diagnose(env, login, 'wrong');
    expect(findingsOf(wrong, 'credentials-refused')[0]?.problem).toBe(
      `the registry does not give ${image} to these credentials`,
    );
    expect((await node.diagnose(env, login, 'right'))['credentials-refused']).toMatchObject({ kind: 'ok' });
  });
});
