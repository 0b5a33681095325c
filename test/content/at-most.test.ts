import { LRUCache } from 'lru-cache';
import { expect, test } from 'vitest';
import { atMost } from '../../content/at-most.ts';

test('a cache of at most so many entries forgets what was used least recently, and tells so', () => {
  const gone: string[] = [];
  const cache = new LRUCache<string, number>({
    ...atMost(2),
    dispose: (_value, key, reason) => gone.push(`${reason} ${key}`),
  });
  cache.set('a', 1).set('b', 2);
  cache.get('a');
  cache.set('c', 3).set('a', 4);
  expect([...cache.keys()].toSorted()).toEqual(['a', 'c']);
  expect(gone).toEqual(['evict b', 'set a']);
});

test('its bound costs nothing until it is reached', () => {
  const caches = Array.from({ length: 1_000 }, () => new LRUCache<string, number>(atMost(Number.MAX_SAFE_INTEGER)));
  expect(caches.map((cache) => cache.set('a', 1).size)).not.toContain(0);
});
