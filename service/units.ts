/** Where a server listens, or is reached. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

const SIZES: Record<string, number> = {
  '': 1,
  B: 1,
  K: 1e3,
  KB: 1e3,
  KiB: 2 ** 10,
  M: 1e6,
  MB: 1e6,
  MiB: 2 ** 20,
  G: 1e9,
  GB: 1e9,
  GiB: 2 ** 30,
  T: 1e12,
  TB: 1e12,
  TiB: 2 ** 40,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
};
const DURATIONS_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** `20GiB`, `500MB`, `4096` → bytes. @throws Error with what is expected */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?) ?([A-Za-z]*)$/.exec(text);
  const name = match?.[2] ?? '?';
  const bytes = Math.floor(Number(match?.[1]) * (Object.hasOwn(SIZES, name) ? (SIZES[name] ?? NaN) : NaN));
  if (!Number.isSafeInteger(bytes)) throw new Error('a size such as 20GiB');
  return bytes;
}

/** `200MiB/s` → bytes per second. @throws Error with what is expected */
export function parseBandwidth(text: string): number {
  const size = /^(.*)\/s$/.exec(text)?.[1];
  try {
    const rate = parseSize(size ?? '');
    if (rate > 0) return rate;
  } catch {
    // said below, in the words of a bandwidth
  }
  throw new Error('a bandwidth such as 200MiB/s');
}

/** `60s`, `500ms`, `15m`, `24h` → milliseconds. @throws Error with what is expected */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text);
  if (!match) throw new Error('a duration such as 60s');
  return Number(match[1]) * (DURATIONS_MS[match[2] ?? ''] ?? 0);
}

/** `20%` → 0.2. @throws Error with what is expected */
export function parsePercent(text: string): number {
  const match = /^(\d+(?:\.\d+)?)%$/.exec(text);
  const value = Number(match?.[1]) / 100;
  if (!match || value >= 1) throw new Error('a percentage below 100%, such as 20%');
  return value;
}

/** `127.0.0.1:5050`, `[::1]:5050`, `name:5050`. @throws Error with what is expected */
export function parseAddress(text: string): Address {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]/@]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || port > 65_535) throw new Error('host:port, such as 127.0.0.1:5050');
  return { host, port };
}

/** The host that a URL leads to, as it is dialled: IPv6 addresses without brackets. */
export function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[(.*)\]$/, '$1');
}

/** Inverse of `parseAddress`. */
export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Can only this machine reach it? */
export function isLoopback({ host }: Address): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/** Bytes for people: `1.5 GiB`. */
export function formatSize(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  return `${Number((bytes / 2 ** (10 * power)).toFixed(1))} ${units[power]}`;
}
