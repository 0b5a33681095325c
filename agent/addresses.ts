import { lookup } from 'node:dns/promises';

/** Name → addresses. */
export type Lookup = (host: string) => Promise<readonly string[]>;

/** The system's resolver: /etc/hosts, search domains and all. */
export const systemLookup: Lookup = async (host) => (await lookup(host, { all: true })).map(({ address }) => address);

export interface AddressesOptions {
  readonly host: string;
  readonly lookup: Lookup;
  readonly found: (addresses: ReadonlySet<string>) => void;
  /** What was found before stays. */
  readonly failed: (reason: unknown) => void;
}

/** The addresses behind a name, looked up when somebody cares, one look-up at a time: a resolver may hang. */
export class Addresses {
  readonly #options: AddressesOptions;
  #looking: Promise<void> | undefined;
  #lookedAtMs = -Infinity;

  constructor(options: AddressesOptions) {
    this.#options = options;
  }

  /** Settles with the look-up that is under way; begins one if the last is older than that. Never rejects. */
  async refresh(maxAgeMs: number): Promise<void> {
    if (!this.#looking && performance.now() - this.#lookedAtMs >= maxAgeMs) {
      this.#lookedAtMs = performance.now();
      this.#looking = this.#look().finally(() => (this.#looking = undefined));
    }
    await this.#looking;
  }

  async #look(): Promise<void> {
    const { host, lookup: find, found, failed } = this.#options;
    try {
      const addresses = new Set(await find(host));
      if (addresses.size === 0) throw new Error('the name has no address');
      found(addresses);
    } catch (error) {
      failed(error);
    }
  }
}
