const ANSWER_MS = 2_000;

/**
 * Asks the replica of the shared tier that a signed read leads to whether anybody has begun it (`SignedReads` answers).
 * Plain fetch on purpose: it trusts who a client would trust. Rejects when there is no answer.
 */
export async function hasBegun(url: URL): Promise<boolean> {
  const question = new URL(url.href.replace('/circ/v1/read/', '/circ/v1/begun/'));
  const { ok, body } = await fetch(question, { redirect: 'error', signal: AbortSignal.timeout(ANSWER_MS) });
  await body?.cancel();
  return ok;
}
