import { describe, expect, test } from 'vitest';
import { digestOf } from '../../../oci/digest.ts';
import type { Registry, Repository } from '../../../oci/reference.ts';
import type { Stats } from '../../../shared-tier/admin/stats.ts';
import { type Names, type PageModel, renderPage } from '../../../shared-tier/status/page.ts';

const HOSTILE = `"><script>alert(1)</script><p title='x' & \u{1b}[31m\u0000`;
const ESCAPED = '&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;p title=&#39;x&#39; &amp; \u{fffd}[31m\u{fffd}';

const STATS: Stats = {
  hits: 3,
  misses: 1,
  servedBytes: 4096,
  originBytes: 1024,
  originRequests: 5,
  blobs: 7,
  bytes: 2048,
  capacityBytes: 8192,
  fetchesInFlight: 0,
  waiters: 0,
  agents: 0,
  version: '0.1.0',
  uptimeMs: 3_600_000,
  replica: 'circ-0',
  store: 'disk',
};
const NOBODY: Names = { largest: [], hottest: [], agents: [], replicas: [] };

function render(model: Partial<PageModel> = {}): string {
  return renderPage({ stats: STATS, spans: [], fetches: [], names: NOBODY, ...model });
}

function fetchOf(repository: string) {
  const place = { registry: 'registry.test' as Registry, repository: repository as Repository };
  return {
    place,
    digest: digestOf(Buffer.from(repository)),
    sizeBytes: 10,
    receivedBytes: 5,
    waiters: 1,
    ageMs: 1_000,
  };
}

describe('the page', () => {
  test('tells the numbers for people', () => {
    const page = render();
    expect(page).toContain('<dt>answered from cache</dt><dd>75.0 %</dd>');
    expect(page).toContain('<dt>bytes saved</dt><dd>3 KiB</dd>');
    expect(page).toContain('<dt>store</dt><dd>2 KiB of 8 KiB</dd>');
    expect(page).toContain('replica circ-0, version 0.1.0, up 1 h 0 min');
  });

  test('has no NaN and no undefined in it when nothing has happened yet', () => {
    const page = render({ stats: { ...STATS, hits: 0, misses: 0, servedBytes: 0, originBytes: 100 } });
    expect(page).not.toMatch(/NaN|undefined|Infinity|null|\[object/);
    expect(page).toContain('<dt>bytes saved</dt><dd>0 B</dd>');
  });

  test('takes nothing that others have named for HTML', () => {
    const ranked = [{ place: HOSTILE, value: HOSTILE }];
    const page = render({
      stats: { ...STATS, replica: HOSTILE, version: HOSTILE },
      fetches: [fetchOf(HOSTILE)],
      names: {
        largest: ranked,
        hottest: ranked,
        agents: [HOSTILE],
        replicas: [{ identity: HOSTILE, address: HOSTILE, agoMs: 1 }],
      },
    });
    expect(page).not.toContain('<script');
    expect(page).not.toContain("title='x'");
    expect(page.split(ESCAPED).length - 1).toBeGreaterThanOrEqual(9);
  });

  test('has a bound, however much there is, and says how much more there is', () => {
    const long = 'x'.repeat(255);
    const ranked = Array.from({ length: 5_000 }, (_, n) => ({ place: `${long}${n}`, value: '1' }));
    const spans = Array.from({ length: 96 }, (_, n) => ({ ...STATS, endsAtMs: n * 60_000 }));
    const page = render({
      stats: { ...STATS, fetchesInFlight: 5_000 },
      spans,
      fetches: Array.from({ length: 5_000 }, (_, n) => fetchOf(`${long}${n}`)),
      names: {
        largest: ranked,
        hottest: ranked,
        agents: Array.from({ length: 5_000 }, (_, n) => `10.0.${n >> 8}.${n & 255}`),
        replicas: Array.from({ length: 64 }, (_, n) => ({ identity: `circ-${n}`, address: '10.0.0.1:5061', agoMs: n })),
      },
    });
    expect(Buffer.byteLength(page)).toBeLessThan(96 * 1024);
    expect(page).toContain('and 4980 more');
    expect(page).toContain('and 4900 more');
  });

  test('draws a bar for each span, as high as its part', () => {
    const spans = [
      { ...STATS, hits: 1, misses: 1, servedBytes: 100, originBytes: 50, endsAtMs: 0 },
      { ...STATS, hits: 1, misses: 0, servedBytes: 200, originBytes: 0, endsAtMs: 60_000 },
    ];
    const page = render({ spans });
    expect(page.match(/<rect class="part"/g)).toHaveLength(4);
    expect(page).toContain('<title>00:00: 50.0 % of 2</title>');
    expect(page).toContain('<title>00:01: 200 B served, 0 B from registries</title>');
    const heights = Array.from(page.matchAll(/<rect class="part"[^>]* height="([\d.]+)"/g), ([, height]) =>
      Number(height),
    );
    expect(heights).toEqual([60, 120, 30, 0]);
    expect(page).toContain('aria-label="answered from cache over time, 66.7 % in all"');
  });
});
