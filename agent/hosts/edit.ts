import { isDeepStrictEqual } from 'node:util';
import {
  type Block,
  FILE_BLOCK,
  cutBlocks,
  eolOf,
  findBlocks,
  insertBlock,
  renderBlock,
  replaceBlock,
} from './blocks.ts';
import { type Mirror, authorityOf, isSameHost, mirrorLines } from './mirror.ts';
import { hostTable, hostsOf, isToml, parseToml } from './toml.ts';

/** What matters about a hosts.toml beside its text. */
export interface Surroundings {
  /** Directories that had to be made for the file, itself the last; for when the file is not there yet. */
  readonly madeDirectories: number;
  /** Top-level lines that keep the certificate files beside it in force, which containerd uses without a hosts.toml. */
  readonly certificateLines: readonly string[];
}

/** What is to be done with a file so that it leads to our mirror first. */
export type Install =
  | { readonly kind: 'write'; readonly text: string }
  /** Nothing: our lines are in place, or its own lines name our mirror, first of all or not. */
  | { readonly kind: 'keep'; readonly as: 'ours' | 'own' | 'own-not-first' }
  /** Nothing, because it cannot be done. */
  | { readonly kind: 'leave'; readonly reason: string; readonly isIgnoredByContainerd: boolean };

const NOTE = 'kept by the circ agent; its --uninstall takes these lines out';
const WAS_EMPTY = 'it was empty';

/**
 * Puts our mirror first into a hosts.toml: after the top-level keys, before the first `[host`. Everything else stays
 * byte for byte, and the result is proven to parse, to mean the same beside our table, and to have our host first;
 * other circ agents' hosts may come before it.
 *
 * @param current what is in the file; undefined if there is none
 */
export function install(current: string | undefined, mirror: Mirror, surroundings: Surroundings): Install {
  const text = current ?? '';
  const eol = eolOf(text);
  const name = authorityOf(mirror.url);
  const blocks = findBlocks(text);
  const own = blocks.filter((block) => block.name === name);
  const file = blocks.filter((block) => block.name === FILE_BLOCK);
  const rest = cutBlocks(text, [...own, ...file].toSorted(byStart));
  const note = file[0]?.note ?? firstNote(current, surroundings.madeDirectories);
  const fileBlock = note === undefined ? '' : renderBlock(FILE_BLOCK, note, surroundings.certificateLines, eol);
  const block = renderBlock(name, NOTE, mirrorLines(mirror), eol);

  const without = fileBlock + rest;
  let hosts: string[];
  try {
    hosts = hostsOf(parseToml(without));
  } catch (error) {
    return leave(error, isToml(rest) ? 'our lines would break it: ' : '');
  }
  const others = new Set(blocks.map((each) => each.name).filter((each) => each !== name && each !== FILE_BLOCK));
  const isFirst = (key: string): boolean => hosts.find((each) => !others.has(authorityOf(each))) === key;
  const named = hosts.find((key) => isSameHost(key, mirror.url));
  if (named !== undefined) {
    if (without !== text) return { kind: 'write', text: without };
    return { kind: 'keep', as: isFirst(named) ? 'own' : 'own-not-first' };
  }

  const refreshed = refresh(text, [...file, ...own], [fileBlock, block]);
  const inserted = fileBlock + insertBlock(rest, offsetFor(rest), block, eol);
  let reason: string | undefined;
  for (const candidate of [refreshed, inserted]) {
    if (candidate === undefined) continue;
    reason = wrongIn(candidate, { mirror, without, others });
    if (reason !== undefined) continue;
    return candidate === current ? { kind: 'keep', as: 'ours' } : { kind: 'write', text: candidate };
  }
  return { kind: 'leave', reason: `our lines cannot be put in: ${reason}`, isIgnoredByContainerd: false };
}

/** What is to be done with a file so that nothing of ours is left in it. */
export type Uninstall =
  | { readonly kind: 'write'; readonly text: string }
  | { readonly kind: 'keep' }
  /** The file, and then so many directories upwards, were made by an agent. */
  | { readonly kind: 'remove'; readonly madeDirectories: number };

/** Takes our lines out again. Other agents' lines stay, and with them what tells how the file began. */
export function uninstall(text: string, url: string): Uninstall {
  const name = authorityOf(url);
  const blocks = findBlocks(text);
  const file = blocks.find((block) => block.name === FILE_BLOCK);
  const hasOthers = blocks.some((block) => block.name !== FILE_BLOCK && block.name !== name);
  const gone = blocks.filter((block) => block.name === name || (block.name === FILE_BLOCK && !hasOthers));
  if (gone.length === 0) return { kind: 'keep' };
  const rest = cutBlocks(text, gone);
  const made = /^made by the circ agent, directories: (\d+)$/.exec(file?.note ?? '')?.[1];
  if (made !== undefined && rest.trim() === '') return { kind: 'remove', madeDirectories: Number(made) };
  return { kind: 'write', text: rest };
}

function leave(error: unknown, prefix: string): Install {
  const reason = `${prefix}${error instanceof Error ? error.message : String(error)}`;
  return { kind: 'leave', reason, isIgnoredByContainerd: prefix === '' };
}

/** The note of the block that a file gets at its top if there was nothing before us. */
function firstNote(current: string | undefined, madeDirectories: number): string | undefined {
  if (current === undefined) return `made by the circ agent, directories: ${madeDirectories}`;
  return current === '' ? WAS_EMPTY : undefined;
}

/** The text with its blocks renewed where they are, so that two agents do not push each other from the first place. */
function refresh(text: string, blocks: readonly Block[], rendered: readonly string[]): string | undefined {
  const fresh = rendered.filter((each) => each !== '');
  if (blocks.length !== fresh.length) return undefined;
  // From behind, so that the offsets before stay right.
  const pairs = blocks.map((block, at) => ({ block, lines: fresh[at] ?? '' }));
  return pairs
    .toSorted((a, b) => byStart(b.block, a.block))
    .reduce((result, { block, lines }) => replaceBlock(result, block, lines), text);
}

/** Where our block goes: before the first `[host`, and before the comment that belongs to it; else to the end. */
function offsetFor(text: string): number {
  const blocks = findBlocks(text);
  for (const { index } of text.matchAll(/^[ \t]*\[[ \t]*(?:host|"host"|'host')[ \t]*[.\]]/gm)) {
    const isInBlock = blocks.some(({ start, end }) => index >= start && index < end);
    // Within a string or an array that goes over several lines, what is before it is no whole document.
    if (!isInBlock && isToml(text.slice(0, index))) return beforeComment(text, index);
  }
  return text.length;
}

function beforeComment(text: string, index: number): number {
  let start = index;
  while (start > 0) {
    const lineStart = text.lastIndexOf('\n', start - 2) + 1;
    const line = text.slice(lineStart, start).trim();
    if (!line.startsWith('#') || line.startsWith('# <<< circ ')) break;
    start = lineStart;
  }
  // The first line of a file stays its first: k3s knows the files that it has made by it.
  return start > 0 && isToml(text.slice(0, start)) ? start : index;
}

interface Expected {
  readonly mirror: Mirror;
  /** The file as it would be without our mirror. */
  readonly without: string;
  /** Names of the circ agents that have lines in the file. */
  readonly others: ReadonlySet<string>;
}

/** What is wrong with a text that should be the file with our mirror first, and nothing else changed. */
function wrongIn(text: string, { mirror, without, others }: Expected): string | undefined {
  try {
    const before = parseToml(without);
    const after = parseToml(text);
    const hosts = hostsOf(after);
    const ours = hosts.indexOf(mirror.url);
    if (ours === -1 || hosts.slice(0, ours).some((key) => !others.has(authorityOf(key)))) {
      return 'the mirror would not be the first host';
    }
    const expected = parseToml(mirrorLines(mirror).join('\n'));
    if (!isDeepStrictEqual(hostTable(after)[mirror.url], hostTable(expected)[mirror.url])) {
      return 'the mirror would not be what it has to be';
    }
    delete hostTable(after)[mirror.url];
    if (before['host'] === undefined && Object.keys(hostTable(after)).length === 0) delete after['host'];
    const isSame = isDeepStrictEqual(after, before) && isDeepStrictEqual(hostsOf(after), hostsOf(before));
    return isSame ? undefined : 'the rest of the file would not mean the same';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function byStart(a: Block, b: Block): number {
  return a.start - b.start;
}
