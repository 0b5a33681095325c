import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { Pulse } from '../../service/pulse.ts';

const TICK_MS = 5;
/** Longer than any silence that is borne. */
const LONG_MS = 40 * TICK_MS;

function pulse(asked: (pulse: Pulse) => void = () => undefined, isNeeded?: () => boolean) {
  const said: string[] = [];
  const silent = Promise.withResolvers<void>();
  const it: Pulse = new Pulse({
    ask: () => {
      said.push('ask');
      asked(it);
    },
    suspect: () => said.push('suspect'),
    silent: () => {
      said.push('silent');
      silent.resolve();
    },
    isNeeded,
    tickMs: TICK_MS,
  });
  return { pulse: it, said, silent: silent.promise };
}

describe('Pulse', () => {
  test('asks a peer in use that says nothing, then suspects it, then takes it for dead, and so on', async () => {
    const { pulse: it, said } = pulse();
    const use = it.use();
    const round = ['ask', 'suspect', 'silent'];
    await expect.poll(() => said.slice(0, 6)).toEqual([...round, ...round]);
    use[Symbol.dispose]();
  });

  test('asks nothing of a peer that nobody uses', async () => {
    const { pulse: it, said } = pulse();
    const [one, other] = [it.use(), it.use()];
    one[Symbol.dispose]();
    one[Symbol.dispose](); // a second time is not the other's
    other[Symbol.dispose]();
    await sleep(LONG_MS);
    expect(said).toEqual([]);
  });

  test('goes on while one of several uses is left', async () => {
    const { pulse: it, said } = pulse();
    const [one, other] = [it.use(), it.use()];
    one[Symbol.dispose]();
    await expect.poll(() => said).toContain('silent');
    other[Symbol.dispose]();
  });

  test('never takes a peer for dead that answers, and asks it now and then only', async () => {
    const { pulse: it, said } = pulse((asked) => asked.answered());
    const use = it.use();
    await sleep(LONG_MS);
    use[Symbol.dispose]();
    expect(new Set(said)).toEqual(new Set(['ask']));
    expect(said.length).toBeLessThanOrEqual(4);
  });

  test('asks nothing of a peer that is heard all the time', async () => {
    const { pulse: it, said } = pulse();
    const use = it.use();
    for (const until = performance.now() + LONG_MS; performance.now() < until;) {
      it.heard();
      await sleep(1);
    }
    use[Symbol.dispose]();
    expect(said.filter((what) => what !== 'ask')).toEqual([]);
  });

  test('takes a busy spell of its own process for no silence of the peer', async () => {
    const { pulse: it, said } = pulse();
    const use = it.use();
    const until = performance.now() + LONG_MS;
    while (performance.now() < until); // what a long turn of the event loop is
    await sleep(TICK_MS);
    expect(said).not.toContain('silent');
    use[Symbol.dispose]();
  });

  test('probes a peer that nobody uses, and is content with its answer', async () => {
    const { pulse: it, said } = pulse((asked) => asked.answered());
    it.probe();
    await sleep(LONG_MS);
    expect(said).toEqual(['ask']);
  });

  test('takes a peer for dead that does not answer a probe, and suspects nobody else for it', async () => {
    const { pulse: it, said, silent } = pulse();
    it.probe();
    it.probe();
    await silent;
    await sleep(LONG_MS);
    expect(said).toEqual(['ask', 'silent']);
  });

  test('asks a peer again, and again, before it takes it for dead when it is needed', async () => {
    const { pulse: it, said } = pulse(undefined, () => true);
    const use = it.use();
    const round = ['ask', 'suspect'];
    await expect.poll(() => said).toContain('silent');
    expect(said.slice(0, 9)).toEqual([...round, ...round, ...round, ...round, 'silent']);
    use[Symbol.dispose]();
  });

  test('takes a peer for dead that was asked again, when it is not needed any more', async () => {
    let asked = 0;
    const { pulse: it, said } = pulse(
      () => (asked += 1),
      () => asked < 2,
    );
    const use = it.use();
    await expect.poll(() => said).toContain('silent');
    expect(said.slice(0, 5)).toEqual(['ask', 'suspect', 'ask', 'suspect', 'silent']);
    use[Symbol.dispose]();
  });

  test('begins anew when it comes into use again', async () => {
    const { pulse: it, said } = pulse();
    const first = it.use();
    await expect.poll(() => said).toContain('ask');
    first[Symbol.dispose]();
    said.length = 0;
    const second = it.use();
    await expect.poll(() => said.slice(0, 3)).toEqual(['ask', 'suspect', 'silent']);
    second[Symbol.dispose]();
  });
});
