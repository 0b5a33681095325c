import { request } from 'undici';

const ANSWER_MS = 2_000;

/**
 * Asks the replica of the shared tier that a signed read leads to whether anybody has begun it (`SignedReads` answers).
 * Rejects when there is no answer. Not `fetch`: that refuses port 5061, which it takes for telephony
 * (https://fetch.spec.whatwg.org/#port-blocking).
 */
export async function hasBegun(url: URL): Promise<boolean> {
  const question = url.href.replace('/circ/v1/read/', '/circ/v1/begun/');
  const { statusCode, body } = await request(question, { signal: AbortSignal.timeout(ANSWER_MS) });
  await body.dump();
  return statusCode === 204;
}
