import { describe, expect, test } from 'vitest';
import { GatheredReads } from '../../service/gathered-reads.ts';

/** A receiver with small buffers, a socket that it stops and starts, and what came. */
class Reading {
  readonly got: string[] = [];
  readonly ends: (string | undefined)[] = [];
  readonly flow: string[] = [];
  /** Does it take more after what it gets? */
  takesMore = true;
  #buffer = Buffer.alloc(0);
  readonly reads: GatheredReads;

  constructor(bufferBytes: number) {
    this.reads = new GatheredReads({
      buffer: () => (this.#buffer = Buffer.alloc(bufferBytes)),
      callback: (length) => {
        this.got.push(this.#buffer.toString('latin1', 0, length));
        return this.takesMore;
      },
      ended: (error) => this.ends.push(error?.message),
    });
    this.reads.follow({ pause: () => this.flow.push('pause'), resume: () => this.flow.push('resume') });
  }

  /** A record of TLS. The answer: may the socket read on? */
  record(text: string): boolean {
    const { buffer, callback } = this.reads.onread;
    return callback(Buffer.from(buffer.buffer, buffer.byteOffset).write(text, 'latin1'));
  }
}

const turn = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve));

describe('GatheredReads', () => {
  test('makes one read of the records that come in one turn', async () => {
    const it = new Reading(100);
    for (const text of ['one ', 'two ', 'three']) expect(it.record(text)).toBe(true);
    expect(it.got).toEqual([]);
    await turn();
    expect(it.got).toEqual(['one two three']);
  });

  test('hands a full buffer over at once, and goes on in the next', async () => {
    const it = new Reading(4);
    it.record('abcdefghij');
    expect(it.got).toEqual(['abcd', 'efgh']);
    await turn();
    expect(it.got).toEqual(['abcd', 'efgh', 'ij']);
  });

  test('keeps what still comes after the receiver has had enough, and hands it over later, in order', async () => {
    const it = new Reading(4);
    it.takesMore = false;
    expect(it.record('abcdef')).toBe(false);
    expect(it.record('gh')).toBe(false);
    await turn();
    expect([it.got, it.flow]).toEqual([['abcd'], ['pause']]);
    it.reads.resume();
    expect([it.got, it.flow]).toEqual([
      ['abcd', 'efgh'],
      ['pause', 'pause'],
    ]); // enough again: the socket stays stopped
    it.takesMore = true;
    it.reads.resume();
    expect(it.flow).toEqual(['pause', 'pause', 'resume']);
    it.record('ij');
    await turn();
    expect(it.got).toEqual(['abcd', 'efgh', 'ij']);
  });

  test('stops the socket when enough is said between two records', async () => {
    const it = new Reading(100);
    it.takesMore = false;
    expect(it.record('abc')).toBe(true);
    await turn();
    expect([it.got, it.flow]).toEqual([['abc'], ['pause']]);
  });

  test('tells the end after the last bytes, even if they wait for the receiver', async () => {
    const it = new Reading(4);
    it.takesMore = false;
    it.record('abcdef');
    it.reads.end(new Error('reset'));
    it.reads.end(undefined);
    expect(it.ends).toEqual([]);
    it.takesMore = true;
    it.reads.resume();
    await turn();
    expect(it.got).toEqual(['abcd', 'ef']);
    expect(it.ends[0]).toBe('reset');
    expect(it.flow).not.toContain('resume'); // of a socket that is no more
  });

  test('hands over what has come when the end comes with it', () => {
    const it = new Reading(100);
    it.record('abc');
    it.reads.end(undefined);
    expect([it.got, it.ends]).toEqual([['abc'], [undefined]]);
  });

  test('touches no buffer of a receiver that has gone', async () => {
    const it = new Reading(100);
    it.record('abc');
    it.reads.close();
    expect(it.record('def')).toBe(false);
    it.reads.resume();
    await turn();
    expect([it.got, it.flow]).toEqual([[], []]);
  });
});
