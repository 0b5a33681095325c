/**
 * The grammars of names and headers once more, written from their specifications character by character, and on purpose
 * without a regular expression of the sources: what both have to agree on is not wrong in the same way in both.
 */

const LOWER = 'abcdefghijklmnopqrstuvwxyz';
const DIGITS = '0123456789';
const HEX = `${DIGITS}abcdef`;
const ALPHANUMERIC = LOWER + DIGITS;

function consistsOf(text: string, alphabet: string): boolean {
  for (const character of text) if (!alphabet.includes(character)) return false;
  return true;
}

/** @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests */
export function isRepository(text: string): boolean {
  return text.length <= 255 && text.split('/').every((component) => isComponent(component));
}

/** Runs of letters and digits, with one `.`, `_` or `__`, or any number of `-`, between two of them. */
function isComponent(text: string): boolean {
  let separator = '';
  let isAfterRun = false;
  for (const character of text) {
    if (ALPHANUMERIC.includes(character)) {
      if (separator !== '' && !isSeparator(separator)) return false;
      separator = '';
      isAfterRun = true;
    } else {
      if (!isAfterRun || !'._-'.includes(character)) return false;
      separator += character;
    }
  }
  return isAfterRun && separator === '';
}

function isSeparator(text: string): boolean {
  return text === '.' || text === '_' || text === '__' || consistsOf(text, '-');
}

export function isTag(text: string): boolean {
  const word = ALPHANUMERIC + LOWER.toUpperCase() + '_';
  const [first = ''] = text;
  return first !== '' && text.length <= 128 && word.includes(first) && consistsOf(text, `${word}.-`);
}

export function isDigestText(text: string): boolean {
  const at = text.indexOf(':');
  const [algorithm, hex] = [text.slice(0, at), text.slice(at + 1)];
  const length = algorithm === 'sha256' ? 64 : algorithm === 'sha512' ? 128 : -1;
  return hex.length === length && consistsOf(hex, HEX);
}

/** A host and perhaps a port; letters in either case, as clients may write them (RFC 1123 section 2.1, RFC 3986 3.2). */
export function isRegistryText(text: string): boolean {
  const end = text.startsWith('[') ? text.indexOf(']') + 1 : text.includes(':') ? text.indexOf(':') : text.length;
  const [host, port] = [text.slice(0, end), text.slice(end)];
  if (port !== '' && !isPort(port)) return false;
  if (host.startsWith('[')) return host.length > 2 && consistsOf(host.slice(1, -1).toLowerCase(), `${HEX}:.`);
  return host.split('.').every((label) => isLabel(label));
}

function isPort(text: string): boolean {
  const number = Number(text.slice(1));
  const isDigits = text.length >= 2 && text.length <= 6 && consistsOf(text.slice(1), DIGITS);
  return text.startsWith(':') && isDigits && number >= 1 && number <= 65_535;
}

function isLabel(text: string): boolean {
  const letters = ALPHANUMERIC + LOWER.toUpperCase();
  const isBounded = text.length >= 1 && text.length <= 63 && !text.startsWith('-') && !text.endsWith('-');
  return isBounded && consistsOf(text, `${letters}-`);
}

/** The one spelling inside: lower case, no port 443, one name for Docker Hub. */
export function isRegistryInside(text: string): boolean {
  const aliases = ['index.docker.io', 'registry-1.docker.io'];
  return isRegistryText(text) && text === text.toLowerCase() && !text.endsWith(':443') && !aliases.includes(text);
}

/** RFC 9110 section 5.6.2. */
export function isToken(text: string): boolean {
  return text !== '' && consistsOf(text.toLowerCase(), `${ALPHANUMERIC}!#$%&'*+-.^_\`|~`);
}

/** Numbers of more digits than any content has bytes; a header with one may be ignored, and is. */
const MAX_DIGITS = 15;

/** What a Range header means for content of this size (RFC 9110 section 14.2), from the text up. */
export function bytesOf(
  header: string | undefined,
  sizeBytes: number,
): [start: number, end: number] | 'whole' | 'none' {
  const text = header?.trim() ?? '';
  if (!text.startsWith('bytes=')) return 'whole';
  const parts = text.slice('bytes='.length).split('-');
  const [first = '', last = ''] = parts;
  if (parts.length !== 2 || !consistsOf(first + last, DIGITS) || first + last === '') return 'whole';
  if (first.length > MAX_DIGITS || last.length > MAX_DIGITS) return 'whole';
  if (first === '')
    return Number(last) === 0 || sizeBytes === 0 ? 'none' : [Math.max(0, sizeBytes - Number(last)), sizeBytes];
  if (last !== '' && BigInt(last) < BigInt(first)) return 'none';
  if (BigInt(first) >= BigInt(sizeBytes)) return 'none';
  return [Number(first), last === '' || BigInt(last) >= BigInt(sizeBytes) ? sizeBytes : Number(last) + 1];
}
