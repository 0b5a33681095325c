import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { OriginQueue } from '../../../shared-tier/origin/origin-queue.ts';
import { RetryLater } from '../../../shared-tier/origin/retry.ts';

const PATIENCE_MS = 10_000;

interface AskOptions {
  readonly isFirst?: boolean;
  readonly signal?: AbortSignal;
  readonly patienceMs?: number;
}

/** An origin that lets in whom `admits` says, and who asked it in which order. */
function originOf(admits: (who: string) => boolean, atOnce = 2) {
  const queue = new OriginQueue(atOnce);
  const asked: string[] = [];
  let running = 0;
  let most = 0;
  const ask = async (who: string, options: AskOptions = {}): Promise<void> => {
    const { isFirst = false, signal = new AbortController().signal, patienceMs = PATIENCE_MS } = options;
    const ticket = queue.ticket({ isFirst, deadlineMs: performance.now() + patienceMs });
    for (;;) {
      await queue.enter(ticket, signal);
      asked.push(who);
      running += 1;
      most = Math.max(most, running);
      await delay(1);
      running -= 1;
      if (admits(who)) {
        queue.answered(ticket);
        return;
      }
      const later = new RetryLater('limited', new Error('429'));
      queue.limited(ticket, later);
      queue.assertHope(ticket, later);
    }
  };
  return { ask, asked, most: () => most };
}

/** So many are let in a second, and as many after a pause. */
function rate(perSecond: number): () => boolean {
  let left = perSecond;
  let atMs = performance.now();
  return () => {
    const now = performance.now();
    left = Math.min(perSecond, left + ((now - atMs) / 1_000) * perSecond);
    atMs = now;
    if (left < 1) return false;
    left -= 1;
    return true;
  };
}

describe('before an origin that answers', () => {
  test('questions wait for a connection only, in their order', async () => {
    const { ask, asked, most } = originOf(() => true);
    const names = Array.from({ length: 20 }, (_, index) => `n${index}`);
    await Promise.all(names.map(async (name) => await ask(name)));
    expect([asked, most()]).toEqual([names, 2]);
  });

  test('what brings bytes does not wait for questions', async () => {
    const { ask, most } = originOf(() => true);
    await Promise.all(Array.from({ length: 8 }, async (_, index) => await ask(`n${index}`, { isFirst: true })));
    expect(most()).toBe(8);
  });
});

test('no more than a thousand questions wait for one that is slow, nor two thousand that bring bytes for one that limits', async () => {
  const queue = new OriginQueue(1);
  const deadlineMs = performance.now() + 60_000;
  const controller = new AbortController();
  const { signal } = controller;
  const enter = async (isFirst: boolean): Promise<void> =>
    await queue.enter(queue.ticket({ isFirst, deadlineMs }), signal);
  const asked = queue.ticket({ isFirst: false, deadlineMs });
  await queue.enter(asked, signal);
  const waiting = Array.from({ length: 1_000 }, async () => await enter(false).catch(String));
  await expect(enter(false)).rejects.toThrow('the origin does not answer now');
  queue.limited(asked, new RetryLater('limited', new Error('429')));
  // On a slow machine the first pause is over before all have come; then one of them goes ahead, and makes room.
  const further = Array.from({ length: 1_100 }, async () => await enter(true).catch(String));
  controller.abort(new Error('gone'));
  expect(new Set(await Promise.all(waiting))).toEqual(new Set(['Error: gone']));
  const outcomes = Map.groupBy(await Promise.all(further), (outcome) => outcome);
  expect(outcomes.get('Error: gone')?.length).toBeLessThanOrEqual(1_000);
  expect(outcomes.get('OciError: the origin does not answer now')?.length).toBeGreaterThan(50);
});

describe('before an origin that limits', () => {
  test('all are let in in the end, and what it allows is used', async () => {
    const { ask, asked } = originOf(rate(100), 4);
    const startedAtMs = performance.now();
    await Promise.all(Array.from({ length: 300 }, async (_, index) => await ask(`n${index}`)));
    // Two seconds are needed, a hundred being let in at once.
    expect(performance.now() - startedAtMs).toBeLessThan(6_000);
    expect(asked.length).toBeLessThan(2 * 300);
  });

  test('who came first is let in first, whoever was refused in between', async () => {
    const admits = rate(20);
    const { ask } = originOf(admits, 4);
    const done: number[] = [];
    await Promise.all(
      Array.from({ length: 60 }, async (_, index) => {
        await ask(`n${index}`);
        done.push(index);
      }),
    );
    const displaced = done.map((index, place) => Math.abs(index - place));
    expect(Math.max(...displaced)).toBeLessThan(30);
  });

  test('what brings bytes goes before questions', async () => {
    let isOpen = false;
    const { ask, asked } = originOf(() => isOpen, 1);
    const questions = ['q1', 'q2', 'q3'].map(async (name) => await ask(name));
    await expect.poll(() => asked.length).toBeGreaterThan(0);
    const bytes = ask('bytes', { isFirst: true });
    const before = asked.length;
    isOpen = true;
    await Promise.all([bytes, ...questions]);
    expect(asked.slice(before)[0]).toBe('bytes');
  });

  test('one whose own account is over holds up nobody else', async () => {
    const { ask, asked } = originOf((who) => who !== 'poor');
    const gone = new AbortController();
    const poor = Array.from(
      { length: 5 },
      async () => await ask('poor', { signal: gone.signal }).catch(() => undefined),
    );
    const startedAtMs = performance.now();
    for (let index = 0; index < 100; index += 1) await ask(`n${index}`);
    expect(performance.now() - startedAtMs).toBeLessThan(5_000);
    expect(asked.filter((who) => who === 'poor').length).toBeLessThan(60);
    gone.abort(new Error('enough'));
    await Promise.all(poor);
  });

  test('who has no hope left is told so: his deadline passes, or the origin asks for longer', async () => {
    const { ask } = originOf(() => false);
    await expect(ask('a', { patienceMs: 400 })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    const queue = new OriginQueue(1);
    const ticket = queue.ticket({ isFirst: false, deadlineMs: performance.now() + 1_000 });
    await queue.enter(ticket, new AbortController().signal);
    const later = new RetryLater('limited', new Error('429'), 60_000);
    queue.limited(ticket, later);
    expect(() => queue.assertHope(ticket, later)).toThrow('the origin does not answer now');
  });

  test('no more than a thousand wait', async () => {
    const { ask, asked } = originOf(() => false, 1);
    const gone = new AbortController();
    const first = ask('first', { signal: gone.signal }).catch(() => 'gone');
    await expect.poll(() => asked.length).toBe(2);
    const all = Array.from({ length: 1_010 }, async () => await ask('n', { signal: gone.signal }).catch(String));
    const refused = await Promise.race(all);
    expect(refused).toContain('the origin does not answer now');
    gone.abort(new Error('gone'));
    const ended = await Promise.all(all);
    expect(ended.filter((end) => end?.includes('does not answer')).length).toBeGreaterThanOrEqual(9);
    expect(ended.filter((end) => end === 'Error: gone').length).toBeGreaterThanOrEqual(999);
    await first;
  });

  test('who goes leaves the queue at once', async () => {
    const { ask, asked } = originOf(() => false, 1);
    const gone = new AbortController();
    const waiting = ask('a', { signal: gone.signal });
    await expect.poll(() => asked.length).toBeGreaterThan(0);
    gone.abort(new Error('gone'));
    await expect(waiting).rejects.toThrow('gone');
  });
});
