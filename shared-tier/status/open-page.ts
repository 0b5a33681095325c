import { LRUCache } from 'lru-cache';
import { formatSize } from '../../service/units.ts';
import type { Admin } from '../admin/open-admin.ts';
import type { Popularity } from '../admin/popularity.ts';
import type { ConnectedAgents } from '../callers/connected-agents.ts';
import type { Fetches } from '../fetches.ts';
import type { Holder } from '../leases/lease-api.ts';
import type { History } from './history.ts';
import type { Names } from './page.ts';
import type { PageSources } from './serve-page.ts';

export interface PageParts {
  readonly admin: Admin;
  readonly history: History;
  readonly fetches: Fetches;
  readonly popularity: Popularity;
  readonly agents: ConnectedAgents;
  readonly replicas: SeenReplicas;
}

const BARS = 96;
const ROWS = 20;
const MAX_REPLICAS = 64;

/** Other replicas, as far as their leases have told of them. */
export class SeenReplicas {
  readonly #seen = new LRUCache<string, { readonly address: string; readonly atMs: number }>({ max: MAX_REPLICAS });

  saw({ identity, address }: Pick<Holder, 'identity' | 'address'>): void {
    this.#seen.set(identity, { address, atMs: performance.now() });
  }

  list(): Names['replicas'] {
    const now = performance.now();
    return Array.from(this.#seen, ([identity, { address, atMs }]) => ({ identity, address, agoMs: now - atMs }));
  }
}

/** Where the page gets what it shows. */
export function pageSources({ admin, history, fetches, popularity, agents, replicas }: PageParts): PageSources {
  return {
    model: async () => ({ stats: await admin.stats(), spans: history.spans(BARS), fetches: [...fetches.list()] }),
    names: async () => {
      const { holdings } = await admin.inventory.holdings();
      const largest = holdings.toSorted((a, b) => b.bytes - a.bytes).slice(0, ROWS);
      return {
        largest: largest.map(({ place, bytes }) => ({ place, value: formatSize(bytes) })),
        hottest: popularity.top(ROWS).map(({ place, pulls }) => ({ place, value: pulls.toFixed(pulls < 10 ? 1 : 0) })),
        agents: agents.addresses,
        replicas: replicas.list(),
      };
    },
  };
}
