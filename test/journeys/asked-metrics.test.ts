import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { CertificateVolume, TestCa } from '../support/certificates.ts';
import { startHouse } from '../support/house.ts';
import { tmpDir } from '../support/tmp-dir.ts';

interface Rules {
  readonly groups: readonly { readonly rules: readonly { readonly alert: string; readonly expr: string }[] }[];
}
interface Dashboard {
  readonly panels: readonly Panel[];
}
interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string }[];
}

/** Words of an expression that are names of metrics. */
const METRIC = /\b(?:circ|nodejs|process)_\w+/g;

const { panels } = JSON.parse(readFileSync('manifests/circ/files/dashboard.json', 'utf8')) as Dashboard;

/** What asks, and what it asks with. */
const asked: readonly (readonly [string, string])[] = [
  ...(parse(readFileSync('manifests/circ/files/alerts.yaml', 'utf8')) as Rules).groups.flatMap(({ rules }) =>
    rules.map(({ alert, expr }) => [alert, expr] as const),
  ),
  ...panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => [title, expr] as const)),
];

/** What is told to have increased: a counter, and what is asked of its labels. */
const INCREASE = /\bincrease\((\w+)(?:\{([^}]*)\})?\[/g;
/** One of these, with its value as a regular expression if it is one. */
const MATCHER = /(\w+)(=~|!~|!=|=)"([^"]*)"/g;

/** What both programs export when they have just started, with TLS and with a directory of hosts.toml files. */
async function exported(): Promise<string> {
  await using directory = await tmpDir();
  const certs = join(directory.path, 'certs.d');
  mkdirSync(certs);
  const ca = new TestCa();
  const issued = { ...ca.issue({ names: ['localhost'] }), ca: ca.pem };
  const { certFile, keyFile, caFile } = await new CertificateVolume(directory.path).write(issued);
  await using house = await startHouse({
    tier: { CIRC_TLS_CERT_FILE: certFile, CIRC_TLS_KEY_FILE: keyFile, CIRC_TLS_CA_FILE: caFile },
    agent: { CIRC_SHARED_TIER: 'localhost:1', CIRC_TLS_CA_FILE: caFile, CIRC_CONTAINERD_CERTS_DIR: certs },
  });
  const pages = await Promise.all(house.statusUrls.map(async (url) => await (await fetch(`${url}/metrics`)).text()));
  return pages.join('\n');
}

/** Whether a line is a series that a query would find; Prometheus adds `job` and `instance` by itself. */
function isAskedFor(line: string, name: string, matchers: string): boolean {
  if (!line.startsWith(`${name} `) && !line.startsWith(`${name}{`)) return false;
  return matchers.matchAll(MATCHER).every(([, label = '', operator = '', wanted]) => {
    if (label === 'job') return true;
    const value = new RegExp(`[{,]${label}="([^"]*)"`).exec(line)?.[1] ?? '';
    const isEqual = operator.endsWith('~') ? new RegExp(`^(?:${wanted})$`).test(value) : value === wanted;
    return isEqual !== operator.startsWith('!');
  });
}

test('every alert and every panel asks for metrics that the programs export', async () => {
  const types = (await exported()).matchAll(/^# TYPE (\w+) (\w+)$/gm);
  const names = new Set(Array.from(types, ([, name = '', type]) => (type === 'histogram' ? `${name}_bucket` : name)));
  const unknown = asked.flatMap(([who, expr]) =>
    (expr.match(METRIC) ?? []).filter((name) => !names.has(name)).map((name) => `${who}: ${name}`),
  );
  expect(unknown).toEqual([]);
  expect(asked.length).toBeGreaterThan(30);
});

// Prometheus sees no increase in a counter whose first sample is 1: the first time would go unnoticed.
test('what an alert or a panel wants to see increase is there from the start', async () => {
  const lines = (await exported()).split('\n');
  const missing = asked.flatMap(([who, expr]) =>
    Array.from(expr.matchAll(INCREASE))
      .filter(([, name = '', matchers = '']) => !lines.some((line) => isAskedFor(line, name, matchers)))
      .map(([query]) => `${who}: ${query}`),
  );
  expect(missing).toEqual([]);
});

test('every alert says what it is about, and what to do', () => {
  const { groups } = parse(readFileSync('manifests/circ/files/alerts.yaml', 'utf8')) as Rules;
  for (const rule of groups.flatMap(({ rules }) => rules)) {
    expect(rule).toMatchObject({
      labels: { severity: expect.stringMatching(/^(warning|critical)$/) as string },
      annotations: { summary: expect.any(String) as string, description: expect.any(String) as string },
    });
  }
});

test('every panel has a title of its own and says what it means, on a place of its own', () => {
  const titles = panels.map(({ title }) => title);
  expect(new Set(titles).size).toBe(panels.length);
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  const silent = panels.filter(({ type, description = '' }) => type !== 'row' && description.length < 20);
  expect(silent.map(({ title }) => title)).toEqual([]);
  // Grafana's grid has 24 columns.
  const places = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, cell) => `${x + (cell % w)} ${y + Math.floor(cell / w)}`),
  );
  expect(new Set(places).size).toBe(places.length);
  expect(panels.map(({ gridPos: { x, w } }) => x + w).filter((end) => end > 24)).toEqual([]);
});

test('every alert that a panel names exists', () => {
  const { groups } = parse(readFileSync('manifests/circ/files/alerts.yaml', 'utf8')) as Rules;
  const alerts = new Set(groups.flatMap(({ rules }) => rules.map(({ alert }) => alert)));
  const named = panels.flatMap(({ description = '' }) => description.match(/\bCirc[A-Z]\w+/g) ?? []);
  expect(named.filter((name) => !alerts.has(name))).toEqual([]);
  expect(named.length).toBeGreaterThan(5);
});
