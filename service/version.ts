import { readFileSync } from 'node:fs';

/** The version in package.json, which lies one level above every source folder, in the build as well. */
export function readVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  const version: unknown = (JSON.parse(text) as Record<string, unknown>)['version'];
  return typeof version === 'string' ? version : 'unknown';
}
