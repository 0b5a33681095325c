import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { run } from '../../scripts/lab/run.ts';
import { toolPath } from '../../scripts/lab/tools.ts';

const RULES = 'manifests/circ/files/alerts.yaml';
const UNIT_TESTS = 'test/e2e/alerts.yaml';

async function promtool(...args: readonly string[]): Promise<string> {
  return (await run([toolPath('promtool'), ...args])).stdout;
}

test('every alert fires on what it is for, and none while all is well', async () => {
  expect(await promtool('test', 'rules', UNIT_TESTS)).toContain('SUCCESS');
  const { groups } = parse(await readFile(RULES, 'utf8')) as { groups: { rules: { alert: string }[] }[] };
  const { tests } = parse(await readFile(UNIT_TESTS, 'utf8')) as {
    tests: { promql_expr_test: { exp_samples: { labels: string }[] }[] }[];
  };
  const fired = tests.flatMap(({ promql_expr_test: expected }) => expected.flatMap((each) => each.exp_samples));
  const names = fired.flatMap(({ labels }) => /alertname="(\w+)"/.exec(labels)?.[1] ?? []);
  expect(names.toSorted()).toEqual(groups.flatMap(({ rules }) => rules.map(({ alert }) => alert)).toSorted());
});
