import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { CHECKS } from '../../../circctl/doctor/checks.ts';
import { QUESTIONS, describeMetrics, metricsDoc } from '../../../scripts/docs/metrics.ts';
import { generatedBlob } from '../../support/blobs.ts';
import { adminOf, preheat } from '../../support/house-admin.ts';
import { REGISTRY, startHouse } from '../../support/house.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

const APP = 'org/app';

/** /metrics of agent and tier, after some work. */
async function scrapes(): Promise<{ agent: string; tier: string; secrets: string[] }> {
  await using certs = await tmpDir();
  await using house = await startHouse({ agent: { CIRC_CONTAINERD_CERTS_DIR: join(certs.path, 'certs.d') } });
  const { layers, manifest } = await house.origin.addImage(APP, 'v1', { layers: [generatedBlob(100_000)] });
  await house.pull(APP, 'v1');
  await expect.poll(async () => await house.stored('tier')).toHaveLength(3);
  await house.pull(APP, 'v1');
  await expect.poll(async () => await house.stored('agent')).toHaveLength(2);
  await house.pull(APP, 'v1');
  // What a client has received whole is counted a moment later.
  const served = async (): Promise<number> =>
    (await house.agentMetrics()).sum('circ_served_bytes_total', { outcome: 'node-hit' });
  await expect.poll(served).toBeGreaterThanOrEqual(100_000);
  await house.pull(APP, 'nothing').catch(() => undefined);
  using admin = adminOf(house.tierGrpc);
  await preheat(admin, { image: `${REGISTRY}/${APP}:v1` });
  const [agent = '', tier = ''] = await Promise.all(
    house.statusUrls.map(async (url) => await (await fetch(`${url}/metrics`)).text()),
  );
  return { agent, tier, secrets: [APP, manifest.digest, layers[0]?.digest ?? ''] };
}

/** Name and type of circ's own metrics. */
function typesIn(text: string): string[] {
  return Array.from(text.matchAll(/^# TYPE (circ_\w+ \w+)$/gm), ([, told = '']) => told).toSorted();
}

/** Labels that the samples of a metric have. */
function labelsIn(text: string, name: string): string[] {
  const lines = Array.from(text.matchAll(new RegExp(`^${name}(?:_bucket|_sum|_count)?\\{(.*)\\} `, 'gm')));
  return [
    ...new Set(lines.flatMap(([, labels = '']) => Array.from(labels.matchAll(/(\w+)="/g), ([, label = '']) => label))),
  ];
}

describe('docs/metrics.md', () => {
  test('has the metrics that the programs have, all of them, with their types and labels', async () => {
    const live = await scrapes();
    const described = describeMetrics();
    for (const program of ['agent', 'tier'] as const) {
      const told = described[program].map(({ name, type }) => `${name} ${type}`);
      expect(typesIn(live[program])).toEqual(told.toSorted());
      for (const { name, labels } of described[program]) {
        expect([...labels, 'le']).toEqual(expect.arrayContaining(labelsIn(live[program], name)));
        expect(metricsDoc()).toContain(`| \`${name}\` |`);
      }
    }
  });

  test('has no label with the name of an image, or anything of which there is no end', async () => {
    const { agent, tier, secrets } = await scrapes();
    for (const secret of [...secrets, '127.0.0.1']) expect(`${agent}${tier}`).not.toContain(secret);
  });

  test('asks about metrics that there are', () => {
    const { agent, tier } = describeMetrics();
    const names = new Set([...agent, ...tier].map(({ name }) => name));
    for (const [, query] of QUESTIONS) {
      const asked = query.match(/circ_\w+/g) ?? [];
      expect(asked.length).toBeGreaterThan(0);
      for (const name of asked) expect(names).toContain(name.replace(/_bucket$/, ''));
    }
  });
});

describe('the documents', () => {
  const { agent, tier } = describeMetrics();
  const names = new Set([...agent, ...tier].map(({ name }) => name));

  test.each(['README.md', 'docs/operations.md', 'docs/troubleshooting.md'])(
    '%s speaks of metrics that there are',
    (path) => {
      const told = textOf(path).match(/\bcirc_[a-z_]+[a-z]\b/g) ?? [];
      expect(told.filter((name) => !names.has(name))).toEqual([]);
    },
  );

  test('tell of checks that the doctor makes', () => {
    const told = new Set(
      Array.from(textOf('docs/troubleshooting.md').matchAll(/\*([a-z]+(?:-[a-z]+)+)\*/g), ([, name]) => name),
    );
    for (const name of told) expect(CHECKS.map((check) => check.name)).toContain(name);
  });
});

/** The value of one sample. */
function value(text: string, sample: string): number {
  const line = text.split('\n').find((each) => each.startsWith(`${sample} `));
  return Number(line?.slice(sample.length));
}

function textOf(path: string): string {
  return readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');
}

describe('what operators watch', () => {
  test('is counted when it happens', async () => {
    const { agent, tier } = await scrapes();
    expect(value(agent, 'circ_requests_total{kind="blob",outcome="origin"}')).toBeGreaterThan(0);
    expect(value(agent, 'circ_requests_total{kind="blob",outcome="node-hit"}')).toBeGreaterThan(0);
    expect(value(agent, 'circ_served_bytes_total{outcome="tier-hit"}')).toBeGreaterThanOrEqual(100_000);
    expect(value(tier, 'circ_questions_total{method="OpenBlob",outcome="origin"}')).toBeGreaterThan(0);
    expect(value(tier, 'circ_questions_total{method="OpenBlob",outcome="tier-hit"}')).toBeGreaterThan(0);
    expect(value(tier, 'circ_questions_total{method="ResolveManifest",outcome="denied"}')).toBe(1);
    expect(value(tier, `circ_origin_bytes_total{origin="${REGISTRY}"}`)).toBeGreaterThanOrEqual(100_000);
    expect(value(tier, 'circ_proofs_total{result="yes"}')).toBeGreaterThan(0);
    expect(value(tier, 'circ_fetches_total{result="ok"}')).toBe(2);
    expect(value(tier, 'circ_admin_calls_total{method="Preheat",result="ok"}')).toBe(1);
    expect(value(tier, 'circ_agents')).toBe(1);
    expect(value(tier, 'circ_fetch_waiters')).toBe(0);
    expect(value(tier, 'circ_store_bytes')).toBeGreaterThanOrEqual(100_000);
    expect(value(tier, 'circ_store_capacity_bytes')).toBe(200 * 2 ** 30);
    expect(value(agent, 'circ_store_capacity_bytes')).toBe(20 * 2 ** 30);
    for (const text of [agent, tier]) {
      expect(value(text, 'nodejs_eventloop_lag_p99_seconds')).toBeGreaterThan(0);
      expect(value(text, 'process_resident_memory_bytes')).toBeGreaterThan(1_000_000);
    }
  });
});
