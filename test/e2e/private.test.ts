import { join } from 'node:path';
import { test as base, describe, expect, onTestFailed } from 'vitest';
import type { Program } from '../../scripts/lab/circ.ts';
import { type ContainerdVersion, containerdVersions } from '../../scripts/lab/containerd-version.ts';
import { Containerd, hostsToml } from '../../scripts/lab/containerd.ts';
import { ensureImages, images } from '../../scripts/lab/images.ts';
import { AGENT_URL, logTails } from '../../scripts/lab/lab.ts';
import { type Auth, auths, PrivateRegistries, PULLER } from '../../scripts/lab/private-registries.ts';
import type { RequestRecord } from '../../scripts/lab/registry.ts';
import { Site } from '../../scripts/lab/site.ts';

interface Cell {
  readonly version: ContainerdVersion;
  readonly auth: Auth;
  /** A name of the origin that nobody else uses, so that circ has nothing of it yet. */
  readonly registry: string;
}

function cellsOf(what: string): Cell[] {
  const all = containerdVersions.flatMap((version) => auths.map((auth) => ({ version, auth })));
  return all.map((cell, index) => ({ ...cell, registry: `${what}-${index}.lab` }));
}

const pulls = cellsOf('pull');
const strangers = cellsOf('stranger');
const withheld = cellsOf('withheld');
const everyName = [...pulls, ...strangers, ...withheld];

interface House {
  readonly registries: PrivateRegistries;
  readonly agent: Program;
  readonly tierAddress: string;
  readonly nodeAddress: string;
  readonly logs: string;
  containerd(version: ContainerdVersion): Containerd;
}

/** Two origins that ask who somebody is, a shared tier, and a node with an agent and every containerd. */
// oxlint-disable-next-line no-empty-pattern -- vitest wants to read there which fixtures are needed
const test = base.extend('house', { scope: 'file' }, async ({}, { onCleanup }): Promise<House> => {
  const storage = await ensureImages();
  await using stack = new AsyncDisposableStack();
  const site = stack.use(await Site.start('private'));
  const { network, directory, logs } = site;
  const registries = stack.use(await PrivateRegistries.start({ network, storage, directory, logs }));
  await registries.writeOrigins(
    site.origins,
    Object.fromEntries(everyName.map(({ registry, auth }) => [registry, auth])),
  );
  const node = await network.attach('node');
  stack.use(await site.tier({ namespace: network.hub, name: 'tier' }));
  const agent = stack.use(await site.agent(network.hub, { namespace: node, name: 'agent' }));
  const containerds = new Map<ContainerdVersion, Containerd>();
  for (const version of containerdVersions) {
    const name = `containerd-${version}`;
    const place = { directory: join(directory, name), logFile: join(logs, `${name}.log`) };
    const containerd = stack.use(await Containerd.start({ ...place, version, namespace: node }));
    for (const { registry, auth } of everyName) {
      await containerd.configureHost(registry, hostsToml(AGENT_URL, `http://${registries.of(auth).address}`));
    }
    containerds.set(version, containerd);
  }
  const running = stack.move();
  onCleanup(async () => await running.disposeAsync());
  return {
    registries,
    agent,
    tierAddress: network.hub.address,
    nodeAddress: node.address,
    logs,
    containerd: (version) => {
      const containerd = containerds.get(version);
      if (!containerd) throw new Error(`no containerd ${version}`);
      return containerd;
    },
  };
});

function showLogs({ logs }: House): void {
  onTestFailed(async () => {
    process.stderr.write(await logTails(logs));
  });
}

/** The GETs of blobs that the origin answers with bytes meanwhile. */
async function readsDuring(house: House, auth: Auth, action: () => Promise<unknown>): Promise<RequestRecord[]> {
  const origin = house.registries.of(auth);
  const before = (await origin.blobReads()).length;
  await action();
  return (await origin.blobReads()).slice(before).filter(({ status }) => status < 300);
}

async function accepted({ agent }: House): Promise<number> {
  return (await agent.metrics()).sum('circ_client_credentials_total', { what: 'accepted' });
}

/** If this fails, read "When containerd shows secrets to no mirror" in ARCHITECTURE.md. */
describe('canary: a mirror that challenges is shown the pull secret, or what it opens,', () => {
  test.for(pulls)('by containerd $version at a registry with $auth', async ({ version, registry }, { house }) => {
    showLogs(house);
    const containerd = house.containerd(version);
    const before = await accepted(house);
    await containerd.forget();
    await containerd.criPull(`${registry}/${images.docker}`, PULLER);
    expect(
      (await accepted(house)) - before,
      `containerd ${version} does not send pull secrets to mirrors (any more): circ serves it public images only`,
    ).toBeGreaterThan(0);
  });
});

describe('with a pull secret as kubelet sends it', () => {
  test.for(pulls)(
    'containerd $version pulls through agent and tier from a registry with $auth',
    async ({ version, auth, registry }, { house }) => {
      showLogs(house);
      const containerd = house.containerd(version);
      const asked = (await house.registries.tokenRequests()).length;
      for (const time of ['first', 'second']) {
        const reads = await readsDuring(house, auth, async () => {
          await containerd.forget();
          await containerd.criPull(`${registry}/${images.debian}`, PULLER);
        });
        expect([time, new Set(reads.map(({ client }) => client))]).toEqual([
          time,
          new Set(time === 'first' ? [house.tierAddress] : []),
        ]);
        expect(new Set(reads.map(({ path }) => path)).size).toBe(reads.length);
      }
      // The secret itself goes from the node to the token service, and to nobody else.
      const opened = (await house.registries.tokenRequests()).slice(asked).filter(({ user }) => user !== undefined);
      expect(new Set(opened.map(({ client }) => client))).toEqual(new Set(auth === 'token' ? [house.nodeAddress] : []));
    },
  );

  test('nobody has written it, or what it opens, into a log', async ({ house }) => {
    showLogs(house);
    const log = await house.agent.daemon.log();
    for (const secret of [PULLER.password, Buffer.from(`${PULLER.username}:${PULLER.password}`).toString('base64')]) {
      expect(log).not.toContain(secret);
    }
    expect(log).not.toMatch(/eyJ[\w-]+\.eyJ/);
  });
});

describe('a pod without the right', () => {
  test.for(strangers)(
    'gets nothing of what is cached by containerd $version from a registry with $auth',
    async ({ version, auth, registry }, { house }) => {
      showLogs(house);
      const containerd = house.containerd(version);
      const reference = `${registry}/${images.docker}`;
      await containerd.forget();
      await containerd.criPull(reference, PULLER);
      await containerd.forget();
      for (const secret of [undefined, { ...PULLER, password: 'guessed' }]) {
        const reads = await readsDuring(house, auth, async () => {
          await expect(containerd.criPull(reference, secret)).rejects.toThrow(/unauthorized|401|denied|not found/i);
        });
        expect(reads).toEqual([]);
        expect((await containerd.content('cri')).size).toBe(0);
      }
    },
  );
});

// A server address is what makes containerd keep a secret from every other host: kubelet sends none, so far.
describe('a containerd that shows secrets to no mirror', () => {
  test.for(withheld)(
    'pulls private images from a registry with $auth itself, as $version does it, and is told of',
    async ({ version, auth, registry }, { house }) => {
      showLogs(house);
      const containerd = house.containerd(version);
      const secret = { ...PULLER, serverAddress: `http://${house.registries.of(auth).address}` };
      const before = await accepted(house);
      for (let time = 1; time <= 10; time += 1) {
        const reads = await readsDuring(house, auth, async () => {
          await containerd.forget();
          await containerd.criPull(`${registry}/${images.docker}`, secret);
        });
        expect(new Set(reads.map(({ client }) => client))).toEqual(new Set([house.nodeAddress]));
      }
      expect(await accepted(house)).toBe(before);
      expect(await house.agent.daemon.log()).toContain('nobody comes back with credentials');
    },
  );

  test('gets public images through agent and tier as ever', async ({ house }) => {
    showLogs(house);
    const open = withheld.filter(({ auth }) => auth === 'token');
    for (const { version, registry } of open) {
      const containerd = house.containerd(version);
      const secret = { ...PULLER, serverAddress: `http://${house.registries.of('token').address}` };
      const reads = await readsDuring(house, 'token', async () => {
        await containerd.forget();
        await containerd.criPull(`${registry}/${images.multi}`, secret);
      });
      expect([version, new Set(reads.map(({ client }) => client))]).toEqual([version, new Set([house.tierAddress])]);
    }
  });
});
