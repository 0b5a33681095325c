import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { AGENT_VARIABLES } from '../../../agent/config.ts';
import { configurationDoc } from '../../../scripts/docs/configuration.ts';
import { TIER_VARIABLES } from '../../../shared-tier/config.ts';

describe('docs/configuration.md', () => {
  test('has every variable of both programs, with its default', () => {
    const doc = configurationDoc();
    for (const [name, { default: byDefault, meaning }] of Object.entries({ ...AGENT_VARIABLES, ...TIER_VARIABLES })) {
      expect(doc).toContain(`| \`${name}\` |`);
      expect(doc).toContain(meaning);
      expect(doc).toContain(byDefault ?? 'unset');
    }
    expect(doc).toContain('| `tokenHosts` |');
    expect(doc).not.toContain('undefined');
  });

  test.each(['README.md', 'docs/without-kubernetes.md', 'docs/security.md'])(
    'has the variables that %s speaks of',
    (path) => {
      const text = readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');
      const doc = configurationDoc();
      const spoken = new Set(text.match(/\bCIRC_[A-Z0-9_]*[A-Z0-9]\b/g));
      const known = new Set(doc.match(/\bCIRC_[A-Z0-9_]*[A-Z0-9]\b/g));
      expect(
        [...spoken].filter((name) => !known.has(name) && ![...known].some((each) => each.startsWith(name))),
      ).toEqual([]);
    },
  );
});
