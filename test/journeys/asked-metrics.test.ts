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
  readonly panels: readonly { readonly title: string; readonly targets?: readonly { readonly expr: string }[] }[];
}

/** Words of an expression that are names of metrics. */
const METRIC = /\b(?:circ|nodejs|process)_\w+/g;

/** What asks, and what it asks with. */
const asked: readonly (readonly [string, string])[] = [
  ...(parse(readFileSync('manifests/circ/files/alerts.yaml', 'utf8')) as Rules).groups.flatMap(({ rules }) =>
    rules.map(({ alert, expr }) => [alert, expr] as const),
  ),
  ...(JSON.parse(readFileSync('manifests/circ/files/dashboard.json', 'utf8')) as Dashboard).panels.flatMap(
    ({ title, targets = [] }) => targets.map(({ expr }) => [title, expr] as const),
  ),
];

/** Names of the series that both programs export, with TLS and with a directory of hosts.toml files. */
async function exported(): Promise<Set<string>> {
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
  const types = pages.join('\n').matchAll(/^# TYPE (\w+) (\w+)$/gm);
  return new Set(Array.from(types, ([, name = '', type]) => (type === 'histogram' ? `${name}_bucket` : name)));
}

test('every alert and every panel asks for metrics that the programs export', async () => {
  const names = await exported();
  const unknown = asked.flatMap(([who, expr]) =>
    (expr.match(METRIC) ?? []).filter((name) => !names.has(name)).map((name) => `${who}: ${name}`),
  );
  expect(unknown).toEqual([]);
  expect(asked.length).toBeGreaterThan(30);
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
