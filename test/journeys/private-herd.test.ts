import { describe, expect, test } from 'vitest';
import { herd, startHerdHouse } from '../support/private-herd.ts';

describe('many nodes that start the same private image at once, at an origin that limits,', () => {
  test('are all served, each with tokens of its own, by two HEADs each', async () => {
    const nodes = 30;
    // Fewer than come, however busy the machine is.
    await using it = await startHerdHouse({ auth: 'bearer', perSecond: 10 });
    const { served, sentAway } = await herd(it, nodes, 2);
    expect([served, [...sentAway]]).toEqual([nodes, []]);
    expect(it.rate.refused).toBeGreaterThan(0);
    const { origin } = it.house;
    expect(origin.count({ kind: 'manifest', method: 'HEAD', status: 200 })).toBe(2 * nodes);
    // A bare one, and one with an anonymous token, for all of them.
    expect(origin.count({ kind: 'manifest', method: 'HEAD', status: 401 })).toBe(2);
    expect(origin.count({ kind: 'manifest', method: 'GET', status: 200 })).toBe(1);
  });

  test('are all served with the same password, by HEADs that they share', async () => {
    const nodes = 40;
    await using it = await startHerdHouse({ auth: 'basic', perSecond: 20 });
    const { served, sentAway } = await herd(it, nodes, 2);
    expect([served, [...sentAway]]).toEqual([nodes, []]);
    expect(it.house.origin.count({ kind: 'manifest', method: 'HEAD' })).toBeLessThan(nodes);
    expect(it.house.origin.count({ kind: 'blob', method: 'HEAD' })).toBe(0);
  });
});

test('a private image of 20 layers costs the origin two HEADs of a new caller, and nothing a layer', async () => {
  await using it = await startHerdHouse({ auth: 'bearer', perSecond: 1_000 });
  const { origin } = it.house;
  expect((await herd(it, 1)).served).toBe(1);
  const before = origin.requests.length;
  expect((await herd(it, 1)).served).toBe(1);
  const asked = origin.requests.slice(before);
  const own = asked.filter(({ kind }) => kind === 'token');
  expect(own.map(({ method }) => method)).toEqual(['POST', 'POST']); // the client itself, one a phase
  const rest = asked.filter(({ kind }) => kind !== 'token');
  expect(rest.map(({ kind, method, status }) => `${method} ${kind} ${status}`)).toEqual([
    'HEAD manifest 200',
    'HEAD manifest 200',
  ]);
  expect(it.layers).toBe(20);
});
