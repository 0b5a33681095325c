import type { ByteRange } from '../oci/range.ts';

/** Which bytes of something are there: disjoint ranges in order. */
export class Spans {
  #spans: ByteRange[] = [];

  /** Adds a range, joining what it touches. */
  add(start: number, end: number): void {
    if (start >= end) return;
    const before = this.#spans.filter((span) => span.end < start);
    const after = this.#spans.filter((span) => span.start > end);
    const joined = this.#spans.slice(before.length, this.#spans.length - after.length);
    const first = joined.at(0);
    const last = joined.at(-1);
    this.#spans = [
      ...before,
      { start: Math.min(start, first?.start ?? start), end: Math.max(end, last?.end ?? end) },
      ...after,
    ];
  }

  /** End of the unbroken run that holds `position`, or `position` itself when that byte is missing. */
  endOf(position: number): number {
    return this.#spans.find((span) => span.start <= position && position < span.end)?.end ?? position;
  }

  /** The missing ranges within [start, end). */
  gaps(start: number, end: number): ByteRange[] {
    const gaps: ByteRange[] = [];
    let position = start;
    for (const span of this.#spans) {
      if (span.end <= position) continue;
      if (span.start >= end) break;
      if (span.start > position) gaps.push({ start: position, end: span.start });
      position = span.end;
    }
    if (position < end) gaps.push({ start: position, end });
    return gaps;
  }
}
