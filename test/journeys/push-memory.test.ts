import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { generatedBlob } from '../support/blobs.ts';
import { Program } from '../support/house-process.ts';
import { PushClient } from '../support/house-push.ts';
import { scrape } from '../support/house-metrics.ts';
import { REGISTRY, originsFile } from '../support/house.ts';
import { tmpDir } from '../support/tmp-dir.ts';

const MIB = 1024 * 1024;
const PUSHES = 8;
const SIZE = 50 * MIB;
/** What the tier may take more than it has when it does nothing, 160 MiB: less than a third of what goes through it. */
const MAX_MORE = 120 * MIB;

describe('the memory of the shared tier', () => {
  test('stays bounded while 8 clients push 50 MiB each', async () => {
    await using directory = await tmpDir();
    await using origin = await startSink();
    const origins = join(directory.path, 'origins.yaml');
    await writeFile(origins, originsFile({ [REGISTRY]: origin }));
    const anywhere = '127.0.0.1:0';
    await using tier = new Program('shared-tier/main.ts', {
      env: {
        CIRC_TIER_GRPC_LISTEN: anywhere,
        CIRC_TIER_HTTP_LISTEN: anywhere,
        CIRC_TIER_STATUS_LISTEN: anywhere,
        CIRC_TIER_LEASES: 'memory',
        CIRC_TIER_STORE: `file://${join(directory.path, 'tier')}`,
        CIRC_ORIGINS: origins,
      },
    });
    const { http = '', status = '' } = await tier.listening();
    const pusher = new PushClient({ url: `http://${http}`, repository: 'org/app', ns: REGISTRY });
    const blobs = Array.from({ length: PUSHES }, (_, index) => generatedBlob(SIZE, 50 + index));
    const digests = await Promise.all(blobs.map((blob) => blob.digest()));
    // The first content that is not small starts a thread, which stays.
    const first = generatedBlob(MIB, 1);
    expect((await pusher.whole(first, await first.digest())).status).toBe(201);
    const idle = await tier.memory();

    // One half as containerd pushes, the other as docker does.
    const answers = await Promise.all(
      blobs.map(async (blob, at) => {
        const digest = digests[at] ?? '';
        return await (at % 2 === 0 ? pusher.whole(blob, digest) : pusher.stream(blob, digest));
      }),
    );

    expect(answers.map((answer) => answer.status)).toEqual(answers.map(() => 201));
    const busy = await tier.memory();
    expect((busy.peak - idle.now) / MIB).toBeLessThan(MAX_MORE / MIB);
    expect(origin.receivedBytes()).toBe(PUSHES * SIZE + MIB);
    expect((await scrape(status)).sum('circ_store_bytes')).toBe(PUSHES * SIZE + MIB);
  }, 180_000);
});

/** A registry that takes every upload and forgets it. */
async function startSink() {
  let received = 0;
  const server = createServer((request, response) => {
    request.on('data', (piece: Buffer) => (received += piece.length));
    request.on('end', () => {
      const location = `/v2/org/app/blobs/${request.method === 'PUT' ? 'done' : 'uploads/1'}`;
      response.writeHead(request.method === 'PUT' ? 201 : 202, { location, 'content-length': 0 });
      response.end();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    receivedBytes: () => received,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
