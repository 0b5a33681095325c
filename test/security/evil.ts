import type { HouseOptions } from '../support/house.ts';
import type { Moods } from '../support/origin-moods.ts';
import { type Origin, startOrigin } from '../support/origin.ts';
import { type Tenants, startTenants } from './tenants.ts';

/** A registry in the hand of an attacker, and a repository there. */
export const EVIL = 'evil.test';
export const MALLORY = 'mallory/app';

/** Tenants, and a registry in the hand of somebody who knows A's digests and says whatever he likes. */
export async function withEvil(options: HouseOptions = {}): Promise<Tenants & { evil: Origin }> {
  const evil = await startOrigin();
  const tenants = await startTenants({ ...options, registries: { [EVIL]: evil } });
  return {
    ...tenants,
    evil,
    [Symbol.asyncDispose]: async () => {
      await tenants[Symbol.asyncDispose]();
      await evil[Symbol.asyncDispose]();
    },
  };
}

/** The headers of a yes to HEAD; they win over those of the origin's own answer. */
export function yes(digest = '', type = '', size = 0): Moods {
  return {
    status: 200,
    headers: { 'docker-content-digest': digest, 'content-type': type, 'content-length': String(size) },
  };
}
