import { describe, expect, test } from 'vitest';
import { Slots, type SlotsOptions } from '../../shared-tier/slots.ts';
import { failureOf, forever } from './fixtures.ts';

/** Slots, and who has got in, in order. */
function slotsOf(options: SlotsOptions) {
  const slots = new Slots(options);
  const entered: string[] = [];
  const enter = async (key: string, signal = forever): Promise<Disposable> => {
    const slot = await slots.take(key, signal);
    entered.push(key);
    return slot;
  };
  return { slots, entered, enter };
}

describe('slots', () => {
  test('let as many in as there are, the others of the same key in order of arrival', async () => {
    const slots = new Slots({ slots: 2 });
    const entered: number[] = [];
    const enter = async (who: number): Promise<Disposable> => {
      const slot = await slots.take('a', forever);
      entered.push(who);
      return slot;
    };
    const [first] = await Promise.all([enter(1), enter(2)]);
    const [third, fourth] = [enter(3), enter(4)];
    expect(entered).toEqual([1, 2]);

    first[Symbol.dispose]();
    (await third)[Symbol.dispose]();
    await fourth;

    expect(entered).toEqual([1, 2, 3, 4]);
  });

  test('given back twice are one slot', async () => {
    const slots = new Slots({ slots: 1 });
    const slot = await slots.take('a', forever);
    slot[Symbol.dispose]();
    slot[Symbol.dispose]();
    await slots.take('a', forever);
    await expect(slots.take('a', AbortSignal.timeout(20))).rejects.toThrow('timeout');
  });

  test('are to be had at once or not, for who cannot wait, and count like others', async () => {
    const slots = new Slots({ slots: 3, spare: 1 });
    const held = [slots.tryToTake('a'), slots.tryToTake('a')];
    expect([...held, slots.tryToTake('a')].map((slot) => slot !== undefined)).toEqual([true, true, false]);
    expect(slots.tryToTake('b')).toBeDefined();
    const next = slots.take('a', forever);
    held[0]?.[Symbol.dispose]();
    await next;
    expect(slots.tryToTake('b')).toBeUndefined();
  });

  test('are not taken away by who stops waiting', async () => {
    const slots = new Slots({ slots: 1 });
    const slot = await slots.take('a', forever);
    await expect(slots.take('a', AbortSignal.timeout(10))).rejects.toThrow('timeout');
    const next = slots.take('b', forever);
    slot[Symbol.dispose]();
    (await next)[Symbol.dispose]();
    expect(await slots.take('a', forever)).toBeDefined();
  });

  test('are not for who has gone already', async () => {
    const gone = AbortSignal.abort(new Error('gone'));
    await expect(new Slots({ slots: 1 }).take('a', gone)).rejects.toThrow('gone');
  });
});

describe('keys that share slots', () => {
  test('take turns, however many of one of them wait', async () => {
    const { entered, enter } = slotsOf({ slots: 1 });
    const first = await enter('big');
    const waiting = [...Array.from({ length: 10 }, () => enter('big')), enter('small'), enter('small')];
    const turns = Promise.all(waiting.map(async (each) => (await each)[Symbol.dispose]()));
    first[Symbol.dispose]();
    await turns;
    expect(entered.slice(0, 5)).toEqual(['big', 'small', 'big', 'small', 'big']);
    expect(entered).toHaveLength(13);
  });

  test('come to have the same number, one turn after the other', async () => {
    const { entered, enter } = slotsOf({ slots: 4 });
    const first = await Promise.all(Array.from({ length: 4 }, () => enter('big')));
    const waiting = ['big', 'small', 'big', 'small', 'small', 'big'].map((key) => enter(key));
    for (const slot of first.slice(0, 2)) slot[Symbol.dispose]();
    await Promise.all([waiting[1], waiting[3]]);
    expect(entered.slice(4)).toEqual(['small', 'small']);
  });

  test('leave one for somebody else, when there is one to spare', async () => {
    const { entered, enter } = slotsOf({ slots: 3, spare: 1 });
    const [first] = await Promise.all([enter('big'), enter('big')]);
    const third = enter('big');
    (await enter('small'))[Symbol.dispose]();
    expect(entered).toEqual(['big', 'big', 'small']);
    first?.[Symbol.dispose]();
    await third;
    expect(entered).toEqual(['big', 'big', 'small', 'big']);
  });

  test('refuse who is too many, saying so, and first who is of the longest queue', async () => {
    const { entered, enter } = slotsOf({ slots: 1, maxWaiting: 4 });
    const slot = await enter('big');
    const waiting = Array.from({ length: 4 }, () => enter('big'));
    const last = failureOf(Promise.resolve(waiting[3]));
    expect(await failureOf(enter('big'))).toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringMatching('wait'),
    });
    const small = enter('small');
    expect(await last).toMatchObject({ code: 'UNAVAILABLE', message: 'too many wait for their turn' });
    slot[Symbol.dispose]();
    await small;
    expect(entered).toEqual(['big', 'small']);
  });

  test('are forgotten when nobody of them is there', async () => {
    const { slots } = slotsOf({ slots: 2 });
    const one = await slots.take('a', forever);
    const two = await slots.take('a', forever);
    await expect(slots.take('b', AbortSignal.timeout(5))).rejects.toThrow('timeout');
    one[Symbol.dispose]();
    two[Symbol.dispose]();
    expect(slots.keys).toBe(0);
  });
});
