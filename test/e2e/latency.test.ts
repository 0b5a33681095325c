import { Agent, request } from 'node:http';
import { expect, test } from 'vitest';
import { REGISTRY } from '../support/house.ts';
import { ALICE, BOB, CACHED, NEVER, pathOf, startTenants } from '../security/tenants.ts';
import { mannWhitneyZ, randoms } from '../security/two-samples.ts';

const TRIES = 2_000;
/**
 * Two-sided, a false alarm in 150,000 runs; what is seen with certainty is a shift of about a fifth of the usual
 * spread, some tens of microseconds here, which nobody sees across a network.
 */
const THRESHOLD = 4.5;

/** One HEAD over a connection that is kept: its status, and how long it took. */
async function timed(agent: Agent, url: string, authorization: string): Promise<{ status: number; ms: number }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; ms: number }>();
  const startedAt = performance.now();
  const outgoing = request(url, { agent, method: 'HEAD', headers: { authorization } }, (answer) => {
    answer.resume();
    answer.on('end', () => resolve({ status: answer.statusCode ?? 0, ms: performance.now() - startedAt }));
  });
  outgoing.on('error', reject);
  outgoing.end();
  return await promise;
}

const ONE = 'with one credential';
const MANY = 'with another credential each time, so that no refusal is remembered';

test.each([
  ['the agent', ONE],
  ['the agent', MANY],
  ['the tier', ONE],
  ['the tier', MANY],
])('%s refuses B what A has cached as fast as what nobody has, %s', async (which, how) => {
  await using tenants = await startTenants();
  const { house, cached, never, token } = tenants;
  const door = which === 'the agent' ? house.mirror : house.tierUrl;
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const questions = [
    { repository: CACHED, image: cached },
    { repository: NEVER, image: never },
  ];
  const callers = await Promise.all(
    questions.map(async (question) => ({
      url: `${door}/v2/${pathOf('blobs', question)}?ns=${REGISTRY}`,
      own: await token(BOB, question.repository),
      ms: [] as number[],
    })),
  );
  const random = randoms(7);
  const statuses = new Set<number>();
  for (let attempt = 0; attempt < TRIES + 100; attempt += 1) {
    // In an order by chance, so that neither of the two always comes after the other.
    for (const caller of random() < 0.5 ? callers : callers.toReversed()) {
      const authorization = how === ONE ? caller.own : `Bearer ${house.origin.tokens.issue([], { name: 'bob' })}`;
      const { status, ms } = await timed(agent, caller.url, authorization);
      statuses.add(status);
      if (attempt >= 100) caller.ms.push(ms); // the first ones warm up
    }
  }
  expect([...statuses]).toEqual([404]);
  const [ofCached, ofNever] = callers.map(({ ms }) => ms);
  expect(Math.abs(mannWhitneyZ(ofCached ?? [], ofNever ?? []))).toBeLessThan(THRESHOLD);

  // The same eyes do see a difference where there is one: what A is given against what B is refused.
  const authorization = await token(ALICE, CACHED);
  const mine: number[] = [];
  for (let attempt = 0; attempt < 500; attempt += 1) {
    mine.push((await timed(agent, callers[0]?.url ?? '', authorization)).ms);
  }
  agent.destroy();
  expect(Math.abs(mannWhitneyZ(mine, ofNever ?? []))).toBeGreaterThan(THRESHOLD);
});
