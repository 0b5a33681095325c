import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Program } from '../../scripts/lab/circ.ts';
import type { Exit } from '../../scripts/lab/daemon.ts';
import { HerdLab, type HerdTier } from '../../scripts/lab/herd.ts';

// The lines of "What happens when each part dies" in ARCHITECTURE.md: 300 nodes pull a cold image, and something dies.

const NODES = 300;
const LAYERS = 12;
const LAYER_BYTES = 128 * 1024;
/** Layers, configuration, manifest. */
const OBJECTS = LAYERS + 2;
const ALL_RIGHT: Omit<Outcome, 'refused'> = {
  failures: [],
  bytes: NODES * (LAYERS * LAYER_BYTES + 2),
  uncountedBytes: 0,
  tooManyDuplicates: 0,
  leases: [],
};
/** What is away stays away this long. */
const AWAY_MS = 20_000;
/** What a replica was told to stop with, and no other one was following: nobody is left who could count that. */
const STOPPED_WITH_BYTES = 2 * LAYER_BYTES;
/** More than the silence at which a replica is left when another one is heard, less than what is borne of all. */
const OVERLOAD_MS = 1_500;
/** What Kubernetes gives a pod to end. */
const GRACE_MS = 30_000;
/** To the origin, in Mbit/s: an image takes some eight seconds, or more than twenty. */
const LINK = 1;
const THIN_LINK = 0.4;

let lab: HerdLab;
let tier: HerdTier;

beforeAll(async () => {
  lab = await HerdLab.start({ name: 'herd-faults', nodes: NODES, images: 8, layers: LAYERS, layerBytes: LAYER_BYTES });
  tier = await lab.tier();
});

afterAll(async () => {
  await tier?.[Symbol.asyncDispose]();
  await lab?.[Symbol.asyncDispose]();
});

test('a replica that fetches is killed (-9)', async () => {
  const outcome = await during(LINK, async () => {
    await (await holderAt(moment())).daemon.stop('SIGKILL');
  });
  expect(outcome).toMatchObject(ALL_RIGHT);
});

test('a replica that fetches is told to stop', async () => {
  let exit: Exit | undefined;
  const outcome = await during(
    LINK,
    async () => {
      exit = await (await holderAt(moment())).daemon.stop('SIGTERM', GRACE_MS);
    },
    STOPPED_WITH_BYTES,
  );
  expect(outcome).toMatchObject(ALL_RIGHT);
  expect(exit).toEqual({ code: 0, signal: null });
});

test('a replica that fetches is frozen (SIGSTOP) until others have taken over, and goes on', async () => {
  const outcome = await during(LINK, async () => {
    const { daemon } = await holderAt(moment());
    await away(daemon, AWAY_MS);
  });
  // Whether it was in the middle of an object is chance; that others take it over then: test/shared-tier/once.holders.test.ts.
  expect(outcome).toMatchObject(ALL_RIGHT);
});

test('all replicas say nothing for 1.5 s (SIGSTOP)', async () => {
  const outcome = await during(LINK, async () => {
    await holderAt(moment());
    await Promise.all(tier.replicas.map(({ daemon }) => away(daemon, OVERLOAD_MS)));
  });
  expect(outcome).toEqual({ ...ALL_RIGHT, refused: 0 });
});

test('the Kubernetes API is away for 20 s', async () => {
  const outcome = await during(THIN_LINK, async () => {
    await holderAt(0.1);
    await away(lab.leases.kube.server, AWAY_MS);
  });
  expect(outcome).toMatchObject(ALL_RIGHT);
});

test('a replica does not reach the Kubernetes API, but the others do', async () => {
  const [alone] = lab.tiers;
  await lab.site.network.cut(alone, lab.kube);
  const outcome = await during(LINK, async () => undefined);
  await lab.site.network.mend(alone, lab.kube);
  expect(outcome).toMatchObject(ALL_RIGHT);
});

test('the spool of a replica is full', async () => {
  await restartOne({ CIRC_TIER_SPOOL_SIZE: '100KiB' });
  const outcome = await during(LINK, async () => undefined);
  await restartOne({});
  expect(outcome).toMatchObject(ALL_RIGHT);
});

test('the bucket is away for 20 s', async () => {
  const outcome = await during(THIN_LINK, async () => {
    await holderAt(0.1);
    await away(lab.gateway.daemon, AWAY_MS);
  });
  expect(outcome).toMatchObject(ALL_RIGHT);
});

interface Outcome {
  /** Pulls that did not end right. */
  readonly failures: readonly string[];
  /** That the nodes have got and hashed. */
  readonly bytes: number;
  /** That have left the origin more than once, beyond what the replicas have counted as duplicates. */
  readonly uncountedBytes: number;
  /** Duplicates beyond two for each object. */
  readonly tooManyDuplicates: number;
  /** Questions that were answered 503, at which a containerd would have gone to the origin. */
  readonly refused: number;
  /** That were still there half a minute after the last pull. */
  readonly leases: readonly string[];
}

/** Lets the herd pull over a link to the origin of so many Mbit/s, and something happen meanwhile. */
async function during(megabits: number, event: () => Promise<void>, lostBytes = 0): Promise<Outcome> {
  const { network } = lab.site;
  const { namespace: originNode } = lab.origin;
  await network.limitUplink(originNode, megabits);
  const before = await tier.duplicates();
  const { result, bytesFromOrigin } = await lab.costsOf(async () => {
    const { ended } = await lab.herd(lab.freshImage());
    const [herd] = await Promise.all([ended, event()]);
    return herd;
  });
  await network.limitUplink(originNode, undefined);
  const duplicates = (await tier.duplicates()) - before;
  const twice = bytesFromOrigin - lab.imageBytes;
  const { durationMs, longestPauseMs, refused, refusals, resumed, failovers, failures, bytes } = result;
  const facts = {
    seconds: durationMs / 1000,
    longestPauseMs,
    duplicates,
    twice,
    refused,
    refusals,
    resumed,
    failovers,
  };
  process.stderr.write(`${expect.getState().currentTestName}: ${JSON.stringify(facts)}\n`);
  await tier.start();
  return {
    failures,
    bytes,
    uncountedBytes: Math.max(0, twice - duplicates * LAYER_BYTES - lostBytes),
    tooManyDuplicates: Math.max(0, duplicates - 2 * OBJECTS),
    refused,
    leases: await leasesLeft(),
  };
}

async function leasesLeft(): Promise<string[]> {
  const end = performance.now() + 30_000;
  for (;;) {
    const leases = await lab.leases.list();
    if (leases.length === 0 || performance.now() > end) return leases.map(({ metadata }) => metadata.name);
    await sleep(200);
  }
}

/** Another life of the first replica, with other settings. */
async function restartOne(env: Record<string, string>): Promise<void> {
  const [first] = tier.replicas;
  await first?.daemon.stop();
  await tier.start(env);
}

/** When something is to die: at random, but the same with the same CIRC_MOMENT. */
function moment(): number {
  const part = Number(process.env['CIRC_MOMENT'] ?? randomInt(5, 80) / 100);
  process.stderr.write(`when ${part} of the image had come (CIRC_MOMENT=${part})\n`);
  return part;
}

/** Waits until this part of the image has left the origin. @returns a replica that holds a lease then */
async function holderAt(part: number): Promise<Program> {
  const received = 'circ_origin_bytes_total';
  const wanted = (await tier.sum(received)) + part * lab.imageBytes;
  const { daemon: origin } = lab.origin.registry;
  await origin.until('half done', async () => (await tier.sum(received)) >= wanted, 60_000);
  let holder: Program | undefined;
  await origin.until('holding', async () => {
    const holders = new Set((await lab.leases.list()).map(({ spec }) => spec.holderIdentity));
    holder = tier.replicas.find(({ namespace }) => holders.has(namespace.name));
    return holder !== undefined;
  });
  if (!holder) throw new Error('nobody holds a lease');
  return holder;
}

async function away(daemon: Program['daemon'], ms: number): Promise<void> {
  daemon.signal('SIGSTOP');
  await sleep(ms);
  daemon.signal('SIGCONT');
}
