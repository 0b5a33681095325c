import { type TomlTable, parse } from 'smol-toml';

/**
 * Parses hosts.toml as containerd does.
 *
 * @throws Error whose message says in one line what is wrong
 */
export function parseToml(text: string): TomlTable {
  // containerd's parser knows no byte order mark and refuses the file; ours would skip it.
  if (text.startsWith('\uFEFF')) throw new Error('it begins with a byte order mark');
  try {
    return parse(text, { integersAsBigInt: 'asNeeded' });
  } catch (error) {
    throw new Error(firstLine(error), { cause: error });
  }
}

/** Is this a whole TOML document, or one that is cut off within a string or an array? */
export function isToml(text: string): boolean {
  try {
    parseToml(text);
    return true;
  } catch {
    return false;
  }
}

/** The keys of `[host."…"]` in their order: the order in which containerd tries them, before the registry itself. */
export function hostsOf(table: TomlTable): string[] {
  return Object.entries(hostTable(table)).flatMap(([key, value]) => (isTable(value) ? [key] : []));
}

/** What `[host]` holds; nothing if it is not there or no table. */
export function hostTable(table: TomlTable): TomlTable {
  const host = table['host'];
  return isTable(host) ? host : {};
}

function isTable(value: unknown): value is TomlTable {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

function firstLine(error: unknown): string {
  const { message = String(error), line } = error as { message?: string; line?: number };
  const [first = ''] = message.replace(/^Invalid TOML document: /, '').split('\n');
  return line === undefined ? first : `line ${line}: ${first}`;
}
