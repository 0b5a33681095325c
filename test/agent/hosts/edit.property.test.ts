import * as fc from 'fast-check';
import { parse } from 'smol-toml';
import { describe, expect, test } from 'vitest';
import { type Surroundings, install, uninstall } from '../../../agent/hosts/edit.ts';
import { anyText } from '../../support/any-text.ts';

const MIRROR = { url: 'http://127.0.0.1:5050' };
const OTHER = { url: 'https://127.0.0.1:6060', caFile: '/etc/circ/ca.pem' };

const comment = fc.constantFrom('# words', '  # [host."https://comment"]', '#', '# server = "x"', '# >>> not circ', '');
const capabilities = fc.constantFrom(
  'capabilities = ["pull"]',
  'capabilities = [\n  "pull", # [host."no"]\n  "resolve",\n]',
);
const topLevel = fc.constantFrom(
  'server = "https://registry.example"',
  'server = """\n[host."https://in-a-string"]\n# """',
  "server = '''\n[host]\n'''",
  'ca = ["a.crt", "b.crt"]',
  'client = [\n  ["a.cert", "a.key"],\n  ["b.cert", "b.key"],\n]',
  'skip_verify = true',
  'header = { x-one = ["a", "b"] }',
  'dial_timeout = "1s" # short',
);
/** One kind of key at most once. */
const topLevels = fc.uniqueArray(topLevel, { selector: (line) => line.split(' ')[0], maxLength: 4 });
const hostName = fc.constantFrom(
  'https://near',
  'http://10.0.0.1:5000',
  'https://far/v2/path',
  'docker.io',
  'http://[::1]:80',
);
const host = fc.record({
  name: hostName,
  quote: fc.constantFrom(
    '[host."NAME"]',
    '  [host."NAME"] # it',
    "[host.'NAME']",
    '[ host . "NAME" ]',
    '["host"."NAME"]',
  ),
  lines: fc.uniqueArray(fc.oneof(capabilities, fc.constantFrom('skip_verify = true', 'ca = "x.pem"')), {
    selector: (line) => line.split(' ')[0],
  }),
  subTable: fc.constantFrom('', '[host."NAME".header]\n  x-two = "y"'),
  comments: fc.array(comment, { maxLength: 3 }),
});
const hosts = fc.uniqueArray(host, { selector: ({ name }) => name, maxLength: 3 });

/** A hosts.toml as people and tools write it: any order of what may be ordered, any line ends, or no last one. */
const hostsToml = fc
  .record({
    head: fc.array(comment, { maxLength: 2 }),
    topLevels,
    between: fc.array(comment, { maxLength: 2 }),
    middle: fc.constantFrom('', '[host]', '[extra]\nkey = "[host.\\"no\\"]"'),
    hosts,
    tail: fc.array(comment, { maxLength: 2 }),
    eols: fc.array(fc.constantFrom('\n', '\r\n'), { minLength: 1, maxLength: 3 }),
    hasLastEnd: fc.boolean(),
  })
  .map((parts) => {
    const tables = parts.hosts.flatMap(({ name, quote, lines, subTable, comments }) => [
      ...comments,
      quote.replace('NAME', name),
      ...lines,
      subTable.replace('NAME', name),
    ]);
    const pieces = [...parts.head, ...parts.topLevels, ...parts.between, parts.middle, ...tables, ...parts.tail];
    const lines = pieces.join('\n').split('\n');
    const text = lines.map((line, at) => line + (parts.eols[at % parts.eols.length] ?? '\n')).join('');
    return parts.hasLastEnd ? text : text.replace(/\r?\n$/, '');
  });
const surroundings: fc.Arbitrary<Surroundings> = fc.record({
  madeDirectories: fc.nat({ max: 3 }),
  certificateLines: fc.constantFrom([], ['ca = ["a.crt"]'], ['ca = ["a.crt"]', 'client = [["a.cert","a.key"]]']),
});
/** Also what is no hosts.toml at all, or none any more. */
const anything = fc.oneof(
  { weight: 6, arbitrary: hostsToml },
  { weight: 2, arbitrary: fc.tuple(hostsToml, fc.nat({ max: 400 })).map(([text, length]) => text.slice(0, length)) },
  { weight: 1, arbitrary: anyText() },
  { weight: 1, arbitrary: fc.constantFrom(undefined, '', '\n', '\r\n', ' ') },
);
const RUNS = { numRuns: 1_000 };

/** What uninstalling all of these, in this order, makes of a text; undefined: no file. */
function withoutAll(text: string, urls: readonly string[]): string | undefined {
  let current = text;
  for (const url of urls) {
    const result = uninstall(current, url);
    if (result.kind === 'remove') return undefined;
    if (result.kind === 'write') current = result.text;
  }
  return current;
}

function hostsIn(text: string): string[] {
  return Object.keys((parse(text)['host'] as object | undefined) ?? {});
}

describe('of any hosts.toml', () => {
  test('install and uninstall give the very same text back', () => {
    fc.assert(
      fc.property(anything, surroundings, (before, around) => {
        const result = install(before, MIRROR, around);
        const after = result.kind === 'write' ? result.text : before;
        expect(after === undefined ? undefined : withoutAll(after, [MIRROR.url])).toBe(before);
      }),
      RUNS,
    );
  });

  test('to install twice is to install once', () => {
    fc.assert(
      fc.property(anything, surroundings, (before, around) => {
        const once = install(before, MIRROR, around);
        if (once.kind !== 'write') return;
        expect(install(once.text, MIRROR, around)).toEqual({ kind: 'keep', as: 'ours' });
      }),
      RUNS,
    );
  });

  test('a file that parses is installed, parses still, and has our host first and the others in their order', () => {
    fc.assert(
      fc.property(hostsToml, surroundings, (before, around) => {
        const result = install(before, MIRROR, around);
        if (result.kind !== 'write') throw new Error(JSON.stringify(result));
        expect(hostsIn(result.text)).toEqual([MIRROR.url, ...hostsIn(before)]);
      }),
      RUNS,
    );
  });

  test('two agents come to rest, and give it back in whichever order they go', () => {
    fc.assert(
      fc.property(anything, surroundings, fc.boolean(), (before, around, isReversed) => {
        const one = install(before, MIRROR, around);
        if (one.kind !== 'write') return;
        const two = install(one.text, OTHER, around);
        if (two.kind !== 'write') throw new Error(JSON.stringify(two));
        for (const mirror of [MIRROR, OTHER]) expect(install(two.text, mirror, around).kind).toBe('keep');
        const urls = [MIRROR.url, OTHER.url];
        expect(withoutAll(two.text, isReversed ? urls.toReversed() : urls)).toBe(before);
      }),
      RUNS,
    );
  });
});
