import { test as base, expect } from 'vitest';
import type { ContainerdVersion } from '../../scripts/lab/containerd-version.ts';
import { type Containerd, hostsToml } from '../../scripts/lab/containerd.ts';
import { images, platforms } from '../../scripts/lab/images.ts';
import { AGENT_URL, type Descriptor, type Lab, startLab } from '../../scripts/lab/lab.ts';
import { blobReadsDuring, digestsOf, digestsRead, showLogsOnFailure } from './support.ts';

type Image = 'multi' | 'docker' | 'artifact';
type Client = 'ctr' | 'cri';

/** How a containerd is asked for an image. */
interface Way {
  readonly name: string;
  readonly client: Client;
  readonly images: readonly Image[];
  pull(containerd: Containerd, reference: string): Promise<void>;
}

const byCtr: Way = {
  name: 'ctr',
  client: 'ctr',
  images: ['multi', 'docker'],
  pull: async (containerd, reference) => await containerd.pull(reference, { allPlatforms: true }),
};
const byCtrLocally: Way = {
  name: 'ctr --local',
  client: 'ctr',
  images: ['multi', 'docker', 'artifact'],
  pull: async (containerd, reference) => await containerd.pull(reference, { allPlatforms: true, local: true }),
};
const byKubelet: Way = {
  name: 'CRI',
  client: 'cri',
  images: ['multi', 'docker'],
  pull: async (containerd, reference) => await containerd.criPull(reference),
};
const byKubeletWithSecret: Way = {
  name: 'CRI with a pull secret',
  client: 'cri',
  images: ['docker'],
  pull: async (containerd, reference) => await containerd.criPull(reference, { username: 'me', password: 'secret' }),
};
/** 1.6 can fetch an artifact, but not unpack it; it tries that with everything it pulls. */
const byFetch: Way = {
  name: 'ctr content fetch',
  client: 'ctr',
  images: ['artifact'],
  pull: async (containerd, reference) => await containerd.fetch(reference),
};

function withArtifact(way: Way): Way {
  return { ...way, images: [...way.images, 'artifact'] };
}

interface Build {
  readonly name: string;
  readonly version: ContainerdVersion;
  /** Smaller than a layer of each image. */
  readonly parallelFetchBytes?: number;
  readonly ways: readonly Way[];
}

const ofVersion2 = [withArtifact(byCtr), byCtrLocally, withArtifact(byKubelet), byKubeletWithSecret];
/** `ctr --local` does not know of that setting. */
const inRanges = { parallelFetchBytes: 8 * 1024, ways: [byCtr, byKubelet].map(withArtifact) };
const builds: readonly Build[] = [
  { name: 'containerd 2.4', version: '2.4', ways: ofVersion2 },
  { name: 'containerd 2.4, layers in ranges,', version: '2.4', ...inRanges },
  { name: 'containerd 2.1', version: '2.1', ways: ofVersion2 },
  { name: 'containerd 2.1, layers in ranges,', version: '2.1', ...inRanges },
  { name: 'containerd 1.6', version: '1.6', ways: [byCtr, byKubelet, byKubeletWithSecret, byFetch] },
];

/** Where the containerd learns of the agent. */
const directories = ['_default', 'its own directory'] as const;

interface Cell {
  readonly build: Build;
  readonly way: Way;
  readonly directory: (typeof directories)[number];
  readonly image: Image;
  /** A name of the origin that nobody else uses, so that circ has nothing of it yet. */
  readonly registry: string;
}

const cells: readonly Cell[] = builds
  .flatMap((build) => build.ways.map((way) => ({ build, way })))
  .flatMap((cell) => directories.map((directory) => ({ ...cell, directory })))
  .flatMap((cell) => cell.way.images.map((image) => ({ ...cell, image })))
  .map((cell, index) => ({ ...cell, registry: `cell-${index}.lab` }));

interface Fleet {
  readonly lab: Lab;
  containerd(build: Build): Containerd;
}

/** One lab for all, with a containerd of each build on its node. */
// oxlint-disable-next-line no-empty-pattern -- vitest wants to read there which fixtures are needed
const test = base.extend('fleet', { scope: 'file' }, async ({}, { onCleanup }): Promise<Fleet> => {
  await using stack = new AsyncDisposableStack();
  const lab = stack.use(await startLab({ registries: cells.map(({ registry }) => registry) }));
  const containerds = new Map<Build, Containerd>();
  for (const build of builds) containerds.set(build, stack.use(await lab.startContainerd(build)));
  const running = stack.move();
  onCleanup(async () => await running.disposeAsync());
  return { lab, containerd: (build) => containerds.get(build) ?? lab.containerd };
});

test.for(cells)('$build.name by $way.name, told of the agent by $directory: $image', async (cell, { fleet }) => {
  const { lab } = fleet;
  const { build, way, directory, image, registry } = cell;
  showLogsOnFailure(lab);
  const containerd = fleet.containerd(build);
  if (directory === 'its own directory') {
    await containerd.configureHost(registry, hostsToml(AGENT_URL, `http://${lab.origin.address}`));
  }
  const blobs = await blobsOf(lab, cell);
  const expected = digestsOf(blobs);

  // The first time each blob leaves the origin once, and only the shared tier reads there.
  const reads = await blobReadsDuring(lab, async () => await pull(containerd, cell));
  // 2.x takes what the manifest holds itself from there.
  const fetched = digestsOf(blobs.filter(({ data }) => data === undefined || build.version === '1.6'));
  expect(digestsRead(reads)).toEqual(fetched.toSorted());
  expect(reads.filter(({ client }) => client !== lab.network.hub.address)).toEqual([]);
  expect(await containerd.digest(`${registry}/${images[image]}`, way.client)).toBe(await lab.digest(images[image]));
  expect([...(await containerd.content(way.client))]).toEqual(expect.arrayContaining(expected));

  // The second time none does.
  expect(await blobReadsDuring(lab, async () => await pull(containerd, cell))).toEqual([]);
  expect([...(await containerd.content(way.client))]).toEqual(expect.arrayContaining(expected));

  // What is larger than a range comes in several, if that is configured. Log lines are written a moment later.
  const blobRequests = async (): Promise<string[]> => {
    const log = (await lab.agent.daemon.log()).split('\n');
    return log.filter((line) => line.includes(`"kind":"blob","registry":"${registry}"`));
  };
  await expect
    .poll(async () => (await blobRequests()).length, { timeout: 10_000 })
    .toBeGreaterThanOrEqual(2 * fetched.length);
  const ranges = (await blobRequests()).filter((line) => line.includes('"status":206'));
  expect(ranges.length > 1).toBe(build.parallelFetchBytes !== undefined);
});

/** Pulls as if the node had never had anything. */
async function pull(containerd: Containerd, { way, image, registry }: Cell): Promise<void> {
  await containerd.forget();
  await way.pull(containerd, `${registry}/${images[image]}`);
}

/** All blobs of the cell's pull: kubelet pulls for one platform only. */
async function blobsOf(lab: Lab, { way, image }: Cell): Promise<Descriptor[]> {
  if (image !== 'multi') return await lab.blobs(images[image]);
  const pulled = way.client === 'cri' ? platforms.slice(0, 1) : platforms;
  const blobs = await Promise.all(pulled.map(async (platform) => await lab.blobs(images.multi, platform)));
  return [...new Map(blobs.flat().map((blob) => [blob.digest, blob])).values()];
}
