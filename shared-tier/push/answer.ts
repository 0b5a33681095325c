/** What a pusher is answered. */
export interface PushAnswer {
  readonly status: number;
  /** Those that are undefined are left out. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body?: Uint8Array;
}

/** `Range` of an upload, as registries spell it: of nothing, and of one byte, it is `0-0`. */
export function uploadRange(offset: number): string {
  return `0-${Math.max(0, offset - 1)}`;
}
