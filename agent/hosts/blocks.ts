/**
 * Our lines in files that belong to others, between two comments, so that they are found again:
 *
 *     # >>> circ 127.0.0.1:5050: kept by the circ agent; its --uninstall takes these lines out
 *     [host."http://127.0.0.1:5050"]
 *       …
 *     # <<< circ 127.0.0.1:5050
 *
 * Everything here is text and offsets; what is outside of a block is never changed.
 */
export interface Block {
  /** Whose: the agent's `host:port`, or `FILE_BLOCK`. */
  readonly name: string;
  /** What the first comment says after the name. */
  readonly note: string;
  /** Offset of its first character. */
  readonly start: number;
  /** Offset behind its last line, line end included if there is one. */
  readonly end: number;
}

/** The block that tells, at the top of a file, that there was none: it belongs to all agents that have lines here. */
export const FILE_BLOCK = 'file';

const BEGIN = /^# >>> circ (\S+): (.*)$/;
const END = /^# <<< circ (\S+)$/;

/** A block as text; every line has an end. */
export function renderBlock(name: string, note: string, lines: readonly string[], eol: string): string {
  return [`# >>> circ ${name}: ${note}`, ...lines, `# <<< circ ${name}`, ''].join(eol);
}

/** All blocks, in their order. A last comment that has lost its first one is a block of its own. */
export function findBlocks(text: string): Block[] {
  const lines = linesOf(text);
  const blocks: Block[] = [];
  for (let at = 0; at < lines.length; at += 1) {
    const { content = '', start = 0, end = 0 } = lines[at] ?? {};
    const [, name, note = ''] = BEGIN.exec(content) ?? END.exec(content) ?? [];
    if (name === undefined) continue;
    const last = BEGIN.test(content) ? lastLineOf(lines, at, name) : at;
    blocks.push({ name, note, start, end: lines[last]?.end ?? end });
    at = last;
  }
  return blocks;
}

/** The text without these blocks: what it was before they were put in. */
export function cutBlocks(text: string, blocks: readonly Block[]): string {
  let kept = '';
  let from = 0;
  for (const { start, end } of blocks) {
    kept += text.slice(from, start);
    from = end;
  }
  kept += text.slice(from);
  // A file whose last line had no end got one before our lines, and ours has none instead.
  return from === text.length && blocks.length > 0 && !text.endsWith('\n') ? kept.replace(/\r?\n$/, '') : kept;
}

/** The text with other lines in the place of a block. */
export function replaceBlock(text: string, { start, end }: Block, rendered: string): string {
  const isOpen = end === text.length && !text.endsWith('\n');
  return text.slice(0, start) + (isOpen ? rendered.replace(/\r?\n$/, '') : rendered) + text.slice(end);
}

/** The text with a block before the offset, which is the start of a line or the text's end. */
export function insertBlock(text: string, offset: number, rendered: string, eol: string): string {
  if (offset < text.length || text === '' || text.endsWith('\n')) {
    return text.slice(0, offset) + rendered + text.slice(offset);
  }
  return text + eol + rendered.slice(0, -eol.length);
}

/** How the lines of a text end. */
export function eolOf(text: string): string {
  return /\r?\n/.exec(text)?.[0] ?? '\n';
}

interface Line {
  /** Without its end, and without spaces there. */
  readonly content: string;
  readonly start: number;
  readonly end: number;
}

function linesOf(text: string): Line[] {
  return Array.from(text.matchAll(/[^\n]*\n|[^\n]+$/g), (match) => ({
    content: match[0].trimEnd(),
    start: match.index,
    end: match.index + match[0].length,
  }));
}

function lastLineOf(lines: readonly Line[], begin: number, name: string): number {
  for (let at = begin + 1; at < lines.length; at += 1) {
    const { content = '' } = lines[at] ?? {};
    if (END.exec(content)?.[1] === name) return at;
    if (BEGIN.test(content) || isForeignTable(content, name)) break;
  }
  // Its end was lost, or somebody's table lies within: then only lines that are certainly ours.
  let last = begin;
  while (isOurs(lines[last + 1]?.content.trim() ?? '', name)) last += 1;
  return last;
}

function isForeignTable(content: string, name: string): boolean {
  const line = content.trimStart();
  return line.startsWith('[') && !tablesOf(name).some((table) => line.startsWith(table));
}

function isOurs(line: string, name: string): boolean {
  if (name === FILE_BLOCK) return line.startsWith('ca = ') || line.startsWith('client = ');
  const plain = ['capabilities = ["pull", "resolve"]', 'dial_timeout = "5s"'];
  return plain.includes(line) || line.startsWith('ca = ') || tablesOf(name).some((table) => line === `${table}]`);
}

function tablesOf(name: string): string[] {
  return name === FILE_BLOCK ? [] : [`[host."http://${name}"`, `[host."https://${name}"`];
}
