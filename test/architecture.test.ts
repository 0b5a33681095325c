import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { headingsOf, linksOf } from './support/markdown.ts';

const ROOT = join(fileURLToPath(import.meta.url), '..', '..');
const MAX_LINES = 300;

/** What the files of a directory may import: directories of ours, and packages. All may import Node and themselves. */
const MAY_IMPORT: Record<string, { ours: readonly string[]; packages: readonly string[] | 'any' }> = {
  oci: { ours: [], packages: [] },
  content: { ours: ['oci'], packages: ['lru-cache'] },
  proto: { ours: ['oci'], packages: 'any' },
  service: { ours: ['oci', 'content'], packages: 'any' },
  agent: { ours: ['oci', 'content', 'service', 'proto'], packages: 'any' },
  'shared-tier': { ours: ['oci', 'content', 'service', 'proto'], packages: 'any' },
  // What an operator runs on a node knows what the agent knows: its settings, hosts.toml, the way to the tier.
  circctl: { ours: ['oci', 'service', 'proto', 'agent'], packages: 'any' },
};

/** Tests that mirror no source file. */
const FREE_TESTS = new Set(['contracts', 'journeys', 'security', 'support', 'e2e', 'manifests']);

const SOURCES = Object.keys(MAY_IMPORT).flatMap(filesIn);
/** What people read. */
const DOCUMENTS = [...readdirSync(ROOT).filter((path) => path.endsWith('.md')), ...filesOf('docs', '.md')];
const ALL = [...SOURCES, ...filesIn('scripts'), ...filesIn('test')];

describe('the sources', () => {
  test('are found by this test', () => {
    expect(SOURCES).toEqual(expect.arrayContaining(['oci/digest.ts', 'content/disk-store.ts']));
    expect(ALL).toContain('test/architecture.test.ts');
  });

  test('import what their directory may import', () => {
    expect(SOURCES.flatMap((path) => wrongImports(path, textOf(path)))).toEqual([]);
  });

  test('read the environment only where a program begins', () => {
    expect(SOURCES.filter((path) => readsEnvironment(path, textOf(path)))).toEqual([]);
  });

  test('have at most 300 lines a file, generated ones aside', () => {
    expect(ALL.filter((path) => lineCount(textOf(path)) > MAX_LINES)).toEqual([]);
  });
});

describe('the tests', () => {
  test('mirror a source file, or lie where they need not', () => {
    const tests = filesIn('test').filter((path) => path.endsWith('.test.ts'));
    expect(tests.filter((path) => !isPlaced(path, (source) => existsSync(join(ROOT, source))))).toEqual([]);
  });
});

describe('ARCHITECTURE.md', () => {
  test('has a test for each line of what happens when each part dies', () => {
    const [, section = ''] = textOf('ARCHITECTURE.md').split('## What happens when each part dies\n');
    const rows =
      section
        .split('\n## ')[0]
        ?.split('\n')
        .filter((line) => /^\| (?!what \||-)/.test(line)) ?? [];
    expect(rows.length).toBeGreaterThan(10);
    const untested = rows.filter((row) => {
      const cells = row.split(' | ');
      const [, path = '', title] = /`(.+)`(?:: (.+))? \|$/.exec(cells.at(-1) ?? '') ?? [];
      const name = title ?? cells[0]?.slice(2) ?? '';
      return !existsSync(join(ROOT, path)) || !textOf(path).includes(`test('${name}`);
    });
    expect(untested).toEqual([]);
  });
});

describe('the documents', () => {
  test.each(DOCUMENTS)('%s links to files and headings that there are', (path) => {
    const broken = linksOf(path, textOf(path)).filter(({ file, heading }) => {
      if (!existsSync(join(ROOT, file))) return true;
      return heading !== undefined && !headingsOf(textOf(file)).includes(heading);
    });
    expect(broken).toEqual([]);
  });

  test('of docs/ are all linked from README.md', () => {
    const linked = new Set(linksOf('README.md', textOf('README.md')).map(({ file }) => file));
    expect(filesOf('docs', '.md').filter((path) => !linked.has(path))).toEqual([]);
  });
});

describe('the rules themselves', () => {
  test.each([
    ['oci/a.ts', "import { a } from '../content/b.ts';"],
    ['oci/a.ts', "import type { a } from 'undici';"],
    ['oci/a.ts', "import {\n  a,\n  b,\n} from '../agent/b.ts';"],
    ['oci/a.ts', "const a = await import('../content/b.ts');"],
    ['oci/a.ts', "export { a } from '../content/b.ts';"],
    ['oci/a.ts', "export * from '../content/b.ts';"],
    ['oci/a.ts', "import '../content/b.ts';"],
    ['oci/a.ts', "import fs from 'fs';"],
    ['oci/a.ts', "new Worker(new URL('../content/b.ts', import.meta.url));"],
    ['content/a.ts', "import { a } from '../service/b.ts';"],
    ['content/a.ts', "import { a } from 'pino';"],
    ['service/a.ts', "import { a } from '../proto/b.ts';"],
    ['service/a.ts', "import { a } from '../agent/b.ts';"],
    ['proto/a.ts', "import { a } from '../content/b.ts';"],
    ['agent/x/a.ts', "import { a } from '../../shared-tier/b.ts';"],
    ['shared-tier/origin/a.ts', "import { a } from '../../agent/b.ts';"],
    ['agent/a.ts', "import { a } from '../test/support/b.ts';"],
    ['agent/a.ts', "import { a } from '../scripts/b.ts';"],
    ['agent/a.ts', "import { a } from '../../elsewhere/b.ts';"],
    ['agent/a.ts', "import { a } from '../circctl/b.ts';"],
    ['circctl/a.ts', "import { a } from '../shared-tier/b.ts';"],
  ])('refuse %s: %s', (path, text) => {
    expect(wrongImports(path, text)).toHaveLength(1);
  });

  test.each([
    ['oci/a.ts', "import { a } from 'node:crypto';\nimport { b } from './b.ts';"],
    ['content/a.ts', "import { LRUCache } from 'lru-cache';\nimport { b } from '../oci/b.ts';"],
    ['service/a.ts', "import { fastify } from 'fastify';\nimport { b } from '../content/b.ts';"],
    ['shared-tier/origin/a.ts', "import { a } from '../store/b.ts';\nimport { b } from '../../proto/generated/b.ts';"],
    ['agent/a.ts', "import { a } from '../oci/b.ts';\nimport { b } from '../service/b.ts';"],
    ['circctl/doctor/a.ts', "import { a } from '../../agent/hosts/b.ts';\nimport { b } from '../../proto/b.ts';"],
    ['oci/a.ts', "throw new Error('not from here');"],
  ])('allow %s: %s', (path, text) => {
    expect(wrongImports(path, text)).toEqual([]);
  });

  test.each([
    ['agent/config.ts', "process.env['X']", true],
    ['agent/config.ts', 'const { env } = process;', true],
    ['agent/config.ts', "process['env']", true],
    ['agent/config.ts', "import { env } from 'node:process';", true],
    ['agent/main.ts', 'process.env', false],
    ['shared-tier/main.ts', 'process.env', false],
    ['agent/config.ts', 'process.environment; const env = 1;', false],
  ])('in %s, %s reads the environment where it may not: %s', (path, text, forbidden) => {
    expect(readsEnvironment(path, text)).toBe(forbidden);
  });

  test.each([
    ['test/oci/digest.test.ts', true],
    ['test/oci/digest.hostile.test.ts', true],
    ['test/shared-tier/origin/client.test.ts', true],
    ['test/security/anything.test.ts', true],
    ['test/architecture.test.ts', true],
    ['test/oci/nothing.test.ts', false],
    ['test/digest.test.ts', false],
    ['test/other/digest.test.ts', false],
  ])('place %s rightly: %s', (path, placed) => {
    const sources = new Set(['oci/digest.ts', 'shared-tier/origin/client.ts']);
    expect(isPlaced(path, (source) => sources.has(source))).toBe(placed);
  });
});

/** What a file imports against the rules, as `file: import`. */
function wrongImports(path: string, text: string): string[] {
  const [directory = ''] = path.split('/');
  const rule = MAY_IMPORT[directory];
  return importsOf(text)
    .filter((specifier) => {
      if (specifier.startsWith('node:')) return false;
      if (specifier.startsWith('.')) {
        const [target = ''] = join(dirname(path), specifier).split('/');
        return target !== directory && rule?.ours.includes(target) !== true;
      }
      return (
        builtinModules.includes(specifier) || (rule?.packages !== 'any' && rule?.packages.includes(specifier) !== true)
      );
    })
    .map((specifier) => `${path}: ${specifier}`);
}

/** The specifiers of imports, exports, dynamic imports, and of sources named relative to their module. */
function importsOf(text: string): string[] {
  const forms = [
    /^(?:import|export)\b[^'";]*?\bfrom\s*['"]([^'"]+)['"]/gm,
    /^import\s*['"]([^'"]+)['"]/gm,
    /\bimport\s*\(\s*['"`]([^'"`]+)['"`]/g,
    /\bnew URL\(\s*['"`]([^'"`]+\.[jt]s)['"`],\s*import\.meta\.url/g,
  ];
  return forms.flatMap((form) => Array.from(text.matchAll(form), ([, specifier = '']) => specifier));
}

function readsEnvironment(path: string, text: string): boolean {
  if (/^[^/]+\/main\.ts$/.test(path)) return false;
  return /\bprocess\s*(?:\.\s*env\b|\[\s*['"]env)|\benv\b[^;]*\}\s*=\s*process\b|\benv\b[^;]*from 'node:process'/.test(
    text,
  );
}

/** `test/x/y.test.ts` mirrors `x/y.ts`; so does `test/x/y.topic.test.ts`. */
function isPlaced(path: string, exists: (source: string) => boolean): boolean {
  const [, directory = ''] = path.split('/');
  if (path === 'test/architecture.test.ts' || FREE_TESTS.has(directory)) return true;
  const source = path.replace(/^test\//, '').replace(/(?:\.[\w-]+)?\.test\.ts$/, '.ts');
  return source.includes('/') && exists(source);
}

function filesIn(directory: string): string[] {
  return filesOf(directory, '.ts').filter((path) => !path.includes('/generated/'));
}

function filesOf(directory: string, extension: string): string[] {
  if (!existsSync(join(ROOT, directory))) return [];
  return readdirSync(join(ROOT, directory), { recursive: true, encoding: 'utf8' })
    .map((name) => join(directory, name))
    .filter((path) => path.endsWith(extension));
}

function textOf(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

function lineCount(text: string): number {
  return text.split('\n').length - (text.endsWith('\n') ? 1 : 0);
}
