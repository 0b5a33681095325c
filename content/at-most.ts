/**
 * The options of an `LRUCache` of at most so many entries. Its own `max` reserves all of them at once, 2 MB for
 * 100,000; counted as sizes, they cost what is there.
 */
export function atMost(entries: number): { maxSize: number; sizeCalculation: () => number } {
  return { maxSize: entries, sizeCalculation: () => 1 };
}
