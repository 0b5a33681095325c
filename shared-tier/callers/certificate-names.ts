import { normalName } from './allowed-callers.ts';

/** One entry of Node's text form; values with special characters are JSON strings, so that no value can fake an entry. */
const ENTRY = /([^:,"]+):("(?:[^"\\]|\\.)*"|[^,"]*)(?:, |$)/y;

/**
 * DNS names and URIs of a certificate, from the text that Node makes of its subjectAltName. Nothing of the subject
 * counts, and a text that is not understood wholly gives no names at all.
 */
export function certificateNames(subjectAltName: string | undefined): string[] {
  const names: string[] = [];
  const text = subjectAltName ?? '';
  ENTRY.lastIndex = 0;
  for (let end = 0; end < text.length; end = ENTRY.lastIndex) {
    const [, type, value = ''] = ENTRY.exec(text) ?? [];
    if (type === undefined) return [];
    if (type === 'DNS' || type === 'URI') names.push(normalName(value.startsWith('"') ? unquoted(value) : value));
  }
  return names;
}

function unquoted(value: string): string {
  const text: unknown = JSON.parse(value);
  return typeof text === 'string' ? text : '';
}
