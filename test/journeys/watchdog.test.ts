import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { formatAddress } from '../../service/units.ts';
import { generatedBlob } from '../support/blobs.ts';
import { download, pull, urlOf } from '../support/house-client.ts';
import { scrape } from '../support/house-metrics.ts';
import { Program } from '../support/house-process.ts';
import { REGISTRY, startHouse } from '../support/house.ts';
import { tmpDir } from '../support/tmp-dir.ts';

const FREEZE = fileURLToPath(new URL('../support/freeze-on-signal.ts', import.meta.url));

test('an agent that is frozen ends by itself, its clients know at once, and its next life has what was on disk', async () => {
  await using house = await startHouse();
  await using directory = await tmpDir();
  await house.origin.addImage('org/app', 'v1', { layers: [generatedBlob(1_000_000, 1), generatedBlob(500_000, 2)] });
  const env = {
    NODE_OPTIONS: `--import=${FREEZE}`,
    CIRC_AGENT_LISTEN: '127.0.0.1:0',
    CIRC_AGENT_STATUS_LISTEN: '127.0.0.1:0',
    CIRC_AGENT_CACHE_DIR: join(directory.path, 'cache'),
    CIRC_AGENT_MIN_FREE: '0%',
    CIRC_AGENT_ADMIT: 'always',
    CIRC_SHARED_TIER: formatAddress(house.tierGrpc),
  };
  await using lives = new AsyncDisposableStack();
  /** What a supervisor does: starts it, at the same address if it had one. */
  const start = async (mirror = env.CIRC_AGENT_LISTEN) => {
    const program = lives.use(new Program('agent/main.ts', { env: { ...env, CIRC_AGENT_LISTEN: mirror } }));
    return { program, ...(await program.listening()) } as { program: Program; mirror: string; status: string };
  };
  const image = { registry: REGISTRY, repository: 'org/app', reference: 'v1' };

  const first = await start();
  const kept = async () => (await scrape(first.status)).sum('circ_store_bytes');
  const { bytes, blobs } = await pull({ ...image, mirror: `http://${first.mirror}` });
  await expect.poll(kept).toBe(bytes);
  expect((await scrape(first.status)).sum('nodejs_eventloop_lag_seconds')).toBeGreaterThan(0);

  first.program.kill('SIGUSR2');
  const startedAt = performance.now();
  const hanging = download(urlOf({ ...image, mirror: `http://${first.mirror}` }, 'blobs', blobs[0] ?? ''));
  const { signal, stderr } = await first.program.exited();
  expect(signal).toBe('SIGKILL');
  expect(stderr).toContain('the event loop did not turn for 5 s');
  expect(await hanging).toMatchObject({ status: 0 });
  expect(performance.now() - startedAt).toBeLessThan(12_000);

  const second = await start(first.mirror);
  expect(await pull({ ...image, mirror: `http://${second.mirror}` })).toMatchObject({ bytes });
  const hits = async () =>
    (await scrape(second.status)).sum('circ_requests_total', { kind: 'blob', outcome: 'node-hit' });
  await expect.poll(hits).toBe(blobs.length);
}, 40_000);
