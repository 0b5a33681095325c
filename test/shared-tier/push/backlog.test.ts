import { expect, test } from 'vitest';
import { Backlog } from '../../../shared-tier/push/backlog.ts';

const BLOCK = 256 * 1024;

test('what has come can be read from anywhere, until it is forgotten', () => {
  const backlog = new Backlog(100);
  backlog.add(Buffer.from('one'));
  backlog.add(Buffer.from('two'));
  expect(backlog.end).toBe(106);
  expect(backlog.read(100, 106)?.toString()).toBe('onetwo');
  expect(backlog.read(102, 104)?.toString()).toBe('et');
  expect([backlog.read(99, 106), backlog.read(106, 106), backlog.read(106, 110)]).toEqual(Array(3).fill(undefined));
  backlog.forget(103);
  expect([backlog.read(102, 106), backlog.read(103, 106)?.toString()]).toEqual([undefined, 'two']);
});

test('a piece of more than a block is read in two, each of its own block', () => {
  const backlog = new Backlog(0);
  backlog.add(Buffer.alloc(BLOCK, 'a'));
  backlog.add(Buffer.alloc(BLOCK + 1, 'b'));
  expect(backlog.read(1, backlog.end)?.length).toBe(BLOCK - 1);
  expect(backlog.read(BLOCK, backlog.end)?.length).toBe(BLOCK);
  expect(backlog.read(2 * BLOCK, backlog.end)?.toString()).toBe('b');
});

test('the memory of a piece is given back when it is its own, and left alone when it is shared', () => {
  const backlog = new Backlog(0);
  const own = Buffer.allocUnsafeSlow(1000).fill('x');
  const shared = Buffer.allocUnsafeSlow(1000).fill('y');
  backlog.add(own);
  backlog.add(shared.subarray(10, 20));
  expect([own.length, shared.length]).toEqual([0, 1000]);
  expect(backlog.read(0, backlog.end)?.toString()).toBe(`${'x'.repeat(1000)}${'y'.repeat(10)}`);
});

test('blocks are used again once all of them is forgotten', () => {
  const backlog = new Backlog(0);
  backlog.add(Buffer.alloc(BLOCK, 'a'));
  const first = backlog.read(0, BLOCK);
  backlog.forget(BLOCK - 1);
  backlog.add(Buffer.alloc(BLOCK, 'b'));
  expect(first?.toString('latin1', 0, 1)).toBe('a');
  backlog.forget(BLOCK);
  backlog.add(Buffer.alloc(BLOCK, 'c'));
  expect(first?.toString('latin1', 0, 1)).toBe('c');
  expect(backlog.read(BLOCK, backlog.end)?.toString('latin1', 0, 1)).toBe('b');
});
