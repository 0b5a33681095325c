import { LRUCache } from 'lru-cache';
import { atMost } from '../../content/at-most.ts';
import { type Place, placeKey } from '../records.ts';

const MAX_PLACES = 10_000;
const HALF_LIFE_MS = 3_600_000;

/** How often manifests of repositories were asked for of late: each time counts half as much an hour later. */
export class Popularity {
  readonly #places = new LRUCache<string, { readonly pulls: number; readonly atMs: number }>(atMost(MAX_PLACES));

  /** Somebody got a manifest of it. */
  pulled(place: Place): void {
    const key = placeKey(place);
    this.#places.set(key, { pulls: this.of(key) + 1, atMs: performance.now() });
  }

  /** @param place `registry/repository` */
  of(place: string): number {
    const known = this.#places.peek(place);
    return known ? known.pulls * 0.5 ** ((performance.now() - known.atMs) / HALF_LIFE_MS) : 0;
  }

  /** The most asked for, first. */
  top(count: number): { place: string; pulls: number }[] {
    return Array.from(this.#places.keys(), (place) => ({ place, pulls: this.of(place) }))
      .toSorted((a, b) => b.pulls - a.pulls)
      .slice(0, count);
  }
}
