import { expect, test } from 'vitest';
import { ClientCredentials } from '../../agent/client-credentials.ts';
import type { RequestReport } from '../../service/exchange.ts';
import { parseRequest } from '../../oci/request.ts';
import { parseRegistry } from '../../oci/reference.ts';

const names = { default: parseRegistry('docker.io'), isListed: () => false };

interface Answered {
  readonly status: number;
  readonly authorization?: string;
  readonly url?: string;
}

function report({ status, authorization, url = '/v2/org/app/manifests/v1?ns=quay.io' }: Answered): RequestReport {
  const headers = authorization === undefined ? {} : { authorization };
  const rest = { outcome: 'denied', bytes: 0, durationMs: 1, firstByteMs: undefined, error: undefined } as const;
  return { request: parseRequest({ method: 'GET', url, headers }, names), method: 'GET', status, ...rest };
}

function watch() {
  const seen: string[] = [];
  const missing: number[] = [];
  const watched = new ClientCredentials({
    seen: (what) => seen.push(what),
    missing: (asked) => missing.push(asked),
  });
  const answered = (answer: Answered, times = 1): void => {
    for (let time = 1; time <= times; time += 1) watched.answered(report(answer));
  };
  return { seen, missing, answered };
}

const ASKED = { status: 401 };
const ACCEPTED = { status: 200, authorization: 'Bearer a.b.c' };

test('ten clients that are asked in a row, and nobody who comes back, are told', () => {
  const { missing, answered } = watch();
  answered(ASKED, 9);
  expect(missing).toEqual([]);
  answered(ASKED);
  expect(missing).toEqual([10]);
});

test('credentials that the registry refuses do not count as come', () => {
  const { seen, missing, answered } = watch();
  for (let time = 1; time <= 10; time += 1) {
    answered(ASKED);
    answered({ status: 404, authorization: 'Bearer a.b.c' });
    answered({ status: 401, authorization: 'Bearer a.b.c' });
  }
  expect([missing, new Set(seen)]).toEqual([[10], new Set(['asked'])]);
});

test('one that is served begins the count anew', () => {
  const { seen, missing, answered } = watch();
  answered(ASKED, 9);
  answered(ACCEPTED);
  answered(ASKED, 9);
  expect(missing).toEqual([]);
  expect(seen.filter((what) => what === 'accepted')).toHaveLength(1);
});

test.each([
  ['public images', { status: 200 }],
  ['what is not there', { status: 404 }],
  ['clients that are no containerd', { status: 401, url: '/v2/quay.io/org/app/manifests/v1' }],
  ['pings', { status: 401, url: '/v2/' }],
])('%s tell nothing', (_what, answer) => {
  const { seen, missing, answered } = watch();
  answered(answer, 20);
  expect([seen, missing]).toEqual([[], []]);
});
