import { pino } from 'pino';
import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { parseOriginsFile } from '../../service/origins-file.ts';
import { tierEvents } from '../../shared-tier/events.ts';
import { PrivateAddressError } from '../../shared-tier/origin/dispatcher.ts';
import { Origins } from '../../shared-tier/origin/origin.ts';
import { REGISTRY } from './fixtures.ts';

const none = (): number => 0;
const GAUGES = {
  fetchesInFlight: none,
  fetchWaiters: none,
  storeBytes: none,
  storeCapacityBytes: none,
  agents: none,
  origins: [],
};

test('why a registry does not answer is told once, with the host that was asked', () => {
  const lines: string[] = [];
  const events = tierEvents(pino({}, { write: (line) => lines.push(line) }), new Registry(), GAUGES);
  const origin = new Origins(parseOriginsFile('')).get(REGISTRY);
  const asked = { origin, kind: 'manifest', method: 'HEAD', host: 'auth.test:443' } as const;
  events.origin({ ...asked, status: 200 });
  events.origin({ ...asked, status: 0, error: new PrivateAddressError('auth.test') }); // told as what to list
  const refused = Object.assign(new AggregateError([]), { code: 'ECONNREFUSED' });
  for (let time = 0; time < 3; time += 1) events.origin({ ...asked, status: 0, error: refused });
  events.origin({ ...asked, status: 0, error: new Error('self-signed certificate') });
  expect(lines.map((line) => JSON.parse(line) as object)).toEqual([
    expect.objectContaining({ level: 40, registry: REGISTRY, host: 'auth.test:443', reason: 'ECONNREFUSED' }),
    expect.objectContaining({ reason: 'self-signed certificate' }),
  ]);
});
