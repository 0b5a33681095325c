import type { Registry as MetricsRegistry } from 'prom-client';
import type { RegistryNames } from '../../oci/request.ts';
import { readVersion } from '../../service/version.ts';
import type { ConnectedAgents } from '../callers/connected-agents.ts';
import type { Access } from '../access/access.ts';
import type { Fetches } from '../fetches.ts';
import type { Images } from '../images.ts';
import type { ChosenStore } from '../store/choose-store.ts';
import { AdminService, type AdminServiceOptions } from './admin-service.ts';
import { Inventory } from './inventory.ts';
import type { Popularity } from './popularity.ts';
import { Preheats } from './preheat.ts';
import { type Stats, statsOf } from './stats.ts';

export interface AdminParts {
  readonly kept: ChosenStore;
  readonly access: Access;
  readonly images: Images;
  readonly fetches: Fetches;
  readonly popularity: Popularity;
  readonly agents: ConnectedAgents;
  readonly names: RegistryNames;
  readonly metrics: MetricsRegistry;
  readonly capacityBytes: number;
  readonly storeKind: 'disk' | 's3';
  /** This replica's name. */
  readonly replica: string;
  readonly report: AdminServiceOptions['report'];
}

/** What operators see of a shared tier, and tell it to do. */
export interface Admin {
  readonly service: AdminService;
  readonly inventory: Inventory;
  readonly stats: () => Promise<Stats>;
}

export function openAdmin(parts: AdminParts): Admin {
  const { kept, fetches, access, images, popularity, names, report } = parts;
  const { store, records } = kept;
  const inventory = new Inventory({ store, records });
  const preheats = new Preheats({ access, images, fetches, store });
  const stats = statsOf({ ...parts, version: readVersion() });
  const service = new AdminService({ store, inventory, fetches, preheats, popularity, names, stats, report });
  return { service, inventory, stats };
}
