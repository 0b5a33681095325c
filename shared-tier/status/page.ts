import { formatSize } from '../../service/units.ts';
import type { Stats } from '../admin/stats.ts';
import type { FetchReport } from '../fetches.ts';
import { chart } from './chart.ts';
import type { Span } from './history.ts';
import { type Html, markup } from './html.ts';
import { STYLE } from './style.ts';

/** A row of one of the lists of images. */
export interface Ranked {
  /** `registry/repository` */
  readonly place: string;
  readonly value: string;
}

/** Another replica, as it was last heard of. */
export interface SeenReplica {
  readonly identity: string;
  readonly address: string;
  readonly agoMs: number;
}

/** What names things: images, nodes, replicas. */
export interface Names {
  readonly largest: readonly Ranked[];
  readonly hottest: readonly Ranked[];
  readonly agents: readonly string[];
  readonly replicas: readonly SeenReplica[];
}

export interface PageModel {
  readonly stats: Stats;
  readonly spans: readonly Span[];
  readonly fetches: readonly FetchReport[];
  /** Undefined for who may not see them. */
  readonly names: Names | undefined;
}

/** How often a page that stands open asks again, in seconds. */
const REFRESH_S = 10;
const MAX_ROWS = 20;
const MAX_AGENTS = 100;

/** The whole page; a few tens of KiB at most, whatever there is. */
export function renderPage({ stats, spans, fetches, names }: PageModel): string {
  const { hits, misses, servedBytes, originBytes } = stats;
  const page = markup`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <title>circ: ${stats.replica}</title>
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta http-equiv="refresh" content="${REFRESH_S}" />
        <style>${STYLE}</style>
      </head>
      <body>
        <header>
          <h1>circ shared tier</h1>
          <p>replica ${stats.replica}, version ${stats.version}, up ${formatTime(stats.uptimeMs)}</p>
        </header>
        <dl class="numbers">
          ${number('answered from cache', percent(hits, hits + misses))}
          ${number('bytes saved', formatSize(Math.max(0, servedBytes - originBytes)))}
          ${number('served', formatSize(servedBytes))}
          ${number('from registries', formatSize(originBytes))}
          ${number('store', `${formatSize(stats.bytes)} of ${formatSize(stats.capacityBytes)}`)}
          ${number('contents', String(stats.blobs))}
          ${number('agents connected', String(stats.agents))}
          ${number('readers waiting', String(stats.waiters))}
        </dl>
        <main>
          <section class="rate">
            <h2>Answered from cache</h2>
            ${rateChart(spans)}
          </section>
          <section>
            <h2>Bytes served</h2>
            <p class="dim"><i class="key whole"></i> all <i class="key part"></i> from registries</p>
            ${bytesChart(spans)}
          </section>
          ${fetchesSection(fetches, stats.fetchesInFlight, names !== undefined)}
          ${names ? namesSections(names) : HIDDEN}
        </main>
      </body>
    </html>
`;
  return page.toString();
}

const HIDDEN = markup`<section>
  <h2>Images, nodes and replicas</h2>
  <p class="dim">
    Names are shown on this machine's own loopback address only, because anybody in the cluster may reach this port:
    <code>kubectl port-forward</code> leads there.
  </p>
</section>`;

function number(name: string, value: string): Html {
  return markup`<div><dt>${name}</dt><dd>${value}</dd></div>`;
}

function rateChart(spans: readonly Span[]): Html {
  const bars = spans.map(({ hits, misses, endsAtMs }) => {
    const part = hits + misses === 0 ? 0 : hits / (hits + misses);
    return { whole: 1, part, title: `${clock(endsAtMs)}: ${percent(hits, hits + misses)} of ${hits + misses}` };
  });
  const [hits, all] = spans.reduce(([sum, total], each) => [sum + each.hits, total + each.hits + each.misses], [0, 0]);
  const label = `answered from cache over time, ${percent(hits, all)} in all`;
  return chart(bars, { label, top: 1, topText: '100 %', ...timesOf(spans) });
}

function bytesChart(spans: readonly Span[]): Html {
  const bars = spans.map(({ servedBytes, originBytes, endsAtMs }) => ({
    whole: Math.max(servedBytes, originBytes),
    part: originBytes,
    title: `${clock(endsAtMs)}: ${formatSize(servedBytes)} served, ${formatSize(originBytes)} from registries`,
  }));
  const most = Math.max(0, ...bars.map(({ whole }) => whole));
  return chart(bars, {
    label: 'bytes served and bytes from registries over time',
    topText: formatSize(most),
    ...timesOf(spans),
  });
}

function timesOf(spans: readonly Span[]): { startText: string; endText: string } {
  const [first, last] = [spans[0], spans.at(-1)];
  return {
    startText: first ? clock(first.endsAtMs) : '',
    endText: last ? `${clock(last.endsAtMs)} UTC` : 'nothing yet',
  };
}

function fetchesSection(fetches: readonly FetchReport[], total: number, isNamed: boolean): Html {
  const rows = fetches.slice(0, MAX_ROWS).map(({ place, digest, sizeBytes, receivedBytes, waiters, ageMs }) => {
    const what = isNamed ? `${place.registry}/${place.repository} ${digest.slice(0, 19)}` : 'an object';
    const isKnown = sizeBytes > 0;
    const bar = isKnown
      ? markup`<progress max="${sizeBytes}" value="${receivedBytes}"></progress>`
      : markup`<progress></progress>`;
    const progress = isKnown
      ? `${formatSize(receivedBytes)} of ${formatSize(sizeBytes)}`
      : 'size unknown, or not stored';
    const told = `${progress}, ${waiters} waiting, ${Math.floor(ageMs / 1000)} s`;
    return markup`<tr><td>${what}${bar}<span class="dim">${told}</span></td></tr>`;
  });
  const more = total - rows.length;
  return markup`<section>
    <h2>Fetches from registries under way: ${total}</h2>
    <table>${rows}</table>
    <p class="dim">${rows.length === 0 ? 'none' : more > 0 ? `and ${more} more` : ''}</p>
  </section>`;
}

function namesSections({ largest, hottest, agents, replicas }: Names): Html {
  const shown = agents.slice(0, MAX_AGENTS);
  const others = replicas
    .slice(0, MAX_ROWS)
    .map(({ identity, address, agoMs }) => row([`${identity} at ${address}`, `${formatTime(agoMs)} ago`]));
  return markup`${ranking('Largest images', 'size', largest)}${ranking('Hottest images', 'pulls of late', hottest)}
    <section>
      <h2>Nodes</h2>
      <p>${agents.length === 0 ? 'no agent is connected' : shown.join(', ')}</p>
      <p class="dim">${agents.length > shown.length ? `and ${agents.length - shown.length} more` : ''}</p>
    </section>
    <section>
      <h2>Other replicas</h2>
      <table>${others}</table>
      <p class="dim">${others.length === 0 ? 'none was heard of' : 'as their leases told'}</p>
    </section>`;
}

function ranking(title: string, value: string, rows: readonly Ranked[]): Html {
  const shown = rows.slice(0, MAX_ROWS).map((each) => row([each.place, each.value]));
  const head = markup`<tr><th>repository</th><th class="number">${value}</th></tr>`;
  const list = shown.length === 0 ? markup`<p class="dim">none</p>` : markup`<table>${head}${shown}</table>`;
  return markup`<section><h2>${title}</h2>${list}</section>`;
}

function row([name, value]: readonly [string, string]): Html {
  return markup`<tr><td>${name}</td><td class="number">${value}</td></tr>`;
}

function percent(part: number, of: number): string {
  return of === 0 ? '–' : `${((100 * part) / of).toFixed(1)} %`;
}

function clock(ms: number): string {
  return new Date(ms).toISOString().slice(11, 16);
}

function formatTime(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} min`;
  return minutes < 2_880 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${Math.floor(minutes / 1_440)} days`;
}
