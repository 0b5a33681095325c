import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Waits until `check` is true; asked every 50 ms, an error counts as false.
 *
 * @throws when the time is over
 */
export async function until(what: string, check: () => Promise<boolean>, timeoutMs = 30_000): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (performance.now() < end) {
    if (await check().catch(() => false)) return;
    await sleep(50);
  }
  throw new Error(`not within ${timeoutMs} ms: ${what}`);
}
