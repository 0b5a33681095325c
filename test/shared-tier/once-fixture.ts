import { expect, vi } from 'vitest';
import { digestOf } from '../../oci/digest.ts';
import { generatedBlob, readBytes } from '../support/blobs.ts';
import { type Cluster, type TierReplica, clusterOf } from './cluster.ts';
import { APP, MIB, bytesOf, placeOf, rightsAt } from './fixtures.ts';

// Replicas that want one blob.

export const blob = generatedBlob(8 * MIB + 5, 1);
export const bytes = readBytes(blob);
export const digest = digestOf(bytes);
export const here = placeOf(APP);
export const SLOW = { bytesPerSecondPerConnection: 4 * MIB };

/** The fetch of the blob at a replica, once its size is known. */
export async function opened(replica: TierReplica, place = here) {
  const fetch = replica.fetches.start(replica.client(place.registry), rightsAt(place), digest);
  await fetch.opened();
  return fetch;
}

/** Reads all of the blob at a replica, as a caller does. */
export async function read(replica: TierReplica): Promise<Buffer> {
  await using content = await (await opened(replica)).follow();
  return await bytesOf(content);
}

/** Waits until a replica has had so many bytes from the origin. */
export async function received(replica: TierReplica, atLeast: number): Promise<void> {
  await vi.waitFor(() => expect(replica.received.bytes).toBeGreaterThanOrEqual(atLeast), {
    timeout: 10_000,
    interval: 5,
  });
}

/** Waits until a replica can serve so many bytes, wherever it has them from. */
export async function served(replica: TierReplica, atLeast: number): Promise<void> {
  await using content = await (await opened(replica)).follow();
  await bytesOf(content, 0, atLeast);
}

/** Bodies of GETs that the origin has sent for the blob. */
export function gets({ origin }: Cluster) {
  return origin.requests.filter(({ method }) => method === 'GET');
}

export async function cluster(count: number, options: Parameters<typeof clusterOf>[1] = {}): Promise<Cluster> {
  const them = await clusterOf(count, options);
  await them.origin.addBlob(APP, blob);
  return them;
}
