import { expect, onTestFailed } from 'vitest';
import type { Program } from '../../scripts/lab/circ.ts';
import { type Descriptor, type Lab, type LabOptions, logTails, REGISTRY, startLab } from '../../scripts/lab/lab.ts';
import type { RequestRecord } from '../../scripts/lab/registry.ts';

/** A lab for one test; when the test fails, the ends of its logs are shown. */
export async function openLab(options: LabOptions = {}): Promise<Lab> {
  const lab = await startLab(options);
  showLogsOnFailure(lab);
  return lab;
}

/** Shows the ends of a lab's logs if the test that runs fails. */
export function showLogsOnFailure(lab: Lab): void {
  onTestFailed(async () => {
    process.stderr.write(await logTails(lab.logs));
  });
}

/** Pulls an image as if the node had never had it. */
export async function pullFresh(lab: Lab, image: string): Promise<void> {
  await lab.containerd.forget();
  await lab.containerd.pull(`${REGISTRY}/${image}`);
}

/** Fails unless containerd has this image, under the origin's digest and with all its content. */
export async function expectComplete(lab: Lab, image: string, blobs: readonly Descriptor[]): Promise<void> {
  expect(await lab.containerd.digest(`${REGISTRY}/${image}`)).toBe(await lab.digest(image));
  expect([...(await lab.containerd.content())]).toEqual(expect.arrayContaining(digestsOf(blobs)));
}

/** Waits until a program keeps at least so many bytes; it commits what it has relayed a moment after the client has it. */
export async function untilStored(program: Program, bytes: number): Promise<void> {
  await expect
    .poll(async () => (await program.metrics()).sum('circ_store_bytes'), { timeout: 20_000 })
    .toBeGreaterThanOrEqual(bytes);
}

/** Bytes of blob content that left the origin for a digest, whoever asked for them. */
export async function bytesFromOrigin(lab: Lab, digest: string): Promise<number> {
  const reads = await lab.origin.blobReads(digest);
  return reads.reduce((total, { bytes }) => total + bytes, 0);
}

/** The GETs of blobs that reach the origin meanwhile. */
export async function blobReadsDuring(lab: Lab, action: () => Promise<unknown>): Promise<RequestRecord[]> {
  const before = (await lab.origin.blobReads()).length;
  await action();
  return (await lab.origin.blobReads()).slice(before);
}

/** The digests that were read, in order. */
export function digestsRead(reads: readonly RequestRecord[]): string[] {
  return reads.map(({ path }) => path.slice(path.lastIndexOf('/') + 1)).toSorted();
}

export function digestsOf(blobs: readonly Descriptor[]): string[] {
  return blobs.map(({ digest }) => digest);
}

export function totalSize(blobs: readonly Descriptor[]): number {
  return blobs.reduce((total, { size }) => total + size, 0);
}
