import { describe, expect, test } from 'vitest';
import { formatAddress, parseAddress } from '../../service/units.ts';
import { type BlobSource, generatedBlob } from '../support/blobs.ts';
import { startReplicas } from '../support/house-replicas.ts';
import { wireAt } from '../support/house-wire.ts';

const MIB = 1024 * 1024;
const SIZE = 8 * MIB;
/** A second is what it may take to notice; the rest is for busy machines. Without noticing it is thirteen. */
const AT_MOST_MS = 6_000;

describe('in the middle of a body', () => {
  test('a replica that dies, freezes or is cut off costs its reader a pause, and no byte', async () => {
    // Nothing of the third passes but over wires.
    const cutOff = '127.0.0.4';
    await using reads = await wireAt({ host: '127.0.0.14', port: 0 });
    await using tier = await startReplicas(4, { [cutOff]: { CIRC_TIER_ADVERTISE: formatAddress(reads.address) } });
    reads.target = parseAddress((await tier.at(cutOff).listening())['http'] ?? '');
    await using questions = await wireAt({ host: '127.0.0.14', port: tier.port });
    questions.target = { host: cutOff, port: tier.port };
    const hosts = tier.hosts.map((host) => (host === cutOff ? '127.0.0.14' : host));
    const agent = await tier.agent(() => hosts);

    const ends: [string, () => void][] = [
      ['127.0.0.2', () => tier.at('127.0.0.2').kill('SIGKILL')],
      ['127.0.0.3', () => tier.at('127.0.0.3').kill('SIGSTOP')],
      ['127.0.0.14', () => [reads, questions].forEach((wire) => wire.cut())],
    ];
    let healthy = 4;
    for (const [host, end] of ends) {
      const blob = await blobOf((digest) => tier.preferred(digest, hosts)[0] === host);
      const { digest } = await tier.origin.addBlob('org/app', blob);
      tier.origin.when({ kind: 'blob', method: 'GET' }, { bytesPerSecondPerConnection: 4 * MIB });
      const pauses: number[] = [];
      let at = 0;
      let bytes = 0;
      const got = await agent.blob('org/app', digest, {
        onPiece: (piece) => {
          if (at > 0) pauses.push(performance.now() - at);
          at = performance.now();
          const isHalf = bytes < SIZE / 2 && bytes + piece.length >= SIZE / 2;
          bytes += piece.length;
          if (!isHalf) return;
          end();
          tier.origin.calm(); // the next replica has to fetch the first half before it can send the second
        },
      });
      expect({ host, ...got }).toMatchObject({ host, status: 200, digest, bytes: SIZE, isWhole: true });
      expect(Math.max(...pauses)).toBeLessThan(AT_MOST_MS);
      healthy -= 1;
      await agent.replicas({ healthy });
    }
    // A frozen one and one that is cut off end no read by themselves.
    const metrics = await agent.metrics();
    expect(metrics.sum('circ_tier_failovers_total', { what: 'read' })).toBe(2);
  }, 40_000);
});

/** A blob whose digest is so. */
async function blobOf(isWanted: (digest: string) => boolean): Promise<BlobSource> {
  for (let seed = 1; ; seed += 1) {
    const blob = generatedBlob(SIZE, seed);
    if (isWanted(await blob.digest())) return blob;
  }
}
