import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test as base, expect, onTestFailed } from 'vitest';
import { debianEnv } from '../../scripts/lab/debian-tools.ts';
import { ensureImages, images } from '../../scripts/lab/images.ts';
import { logTails } from '../../scripts/lab/lab.ts';
import { privately } from '../../scripts/lab/mounts.ts';
import { PrivateRegistries } from '../../scripts/lab/private-registries.ts';
import type { RequestRecord } from '../../scripts/lab/registry.ts';
import { Site } from '../../scripts/lab/site.ts';

interface Node {
  readonly registries: PrivateRegistries;
  readonly logs: string;
  /** The shared tier in the names of images. */
  readonly tier: string;
  readonly home: string;
  /** Runs a program to its end. */
  readonly run: (argv: readonly string[]) => Promise<unknown>;
}

/** Names of a registry that gives tokens to everybody for what is public; a client has its own. */
const names = { podman: 'podman.lab', buildah: 'buildah.lab', skopeo: 'skopeo.lab' };

// oxlint-disable-next-line no-empty-pattern -- vitest wants to read there which fixtures are needed
const test = base.extend('node', { scope: 'file' }, async ({}, { onCleanup }): Promise<Node> => {
  const storage = await ensureImages();
  await using stack = new AsyncDisposableStack();
  const site = stack.use(await Site.start('without-login'));
  const { network, directory, logs } = site;
  const registries = stack.use(await PrivateRegistries.start({ network, storage, directory, logs }));
  await registries.writeOrigins(
    site.origins,
    Object.fromEntries(Object.values(names).map((name) => [name, 'token'] as const)),
  );
  const node = await network.attach('node');
  stack.use(await site.tier({ namespace: network.hub, name: 'tier' }));
  const home = join(directory, 'home');
  await mkdir(join(home, '.config/containers'), { recursive: true });
  const policy = JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] });
  await writeFile(join(home, '.config/containers/policy.json'), policy);
  const env = { ...debianEnv(), HOME: home, TMPDIR: home };
  const running = stack.move();
  onCleanup(async () => await running.disposeAsync());
  return {
    registries,
    logs,
    tier: `${network.hub.address}:5061`,
    home,
    run: async (argv) => await node.run(privately(argv), { env, cwd: home }),
  };
});

/** What a client does with an image that it has no credentials for. */
const clients: Readonly<Record<keyof typeof names, (home: string, image: string) => readonly string[]>> = {
  podman: (home, image) => {
    const podman = ['podman', '--root', join(home, 'podman'), '--runroot', join(home, 'podman-run')];
    return [...podman, 'pull', '--tls-verify=false', image];
  },
  buildah: (home, image) => {
    const buildah = ['buildah', '--root', join(home, 'buildah'), '--runroot', join(home, 'buildah-run')];
    return [...buildah, 'pull', '--tls-verify=false', image];
  },
  skopeo: (home, image) => ['skopeo', 'copy', '--src-tls-verify=false', `docker://${image}`, `oci:${home}/copy:1`],
};

test.for(['podman', 'buildah', 'skopeo'] as const)(
  '%s without a login gets public images through the shared tier, and is told that others want one',
  async (name, { node }) => {
    const { registries, logs, tier, home, run } = node;
    onTestFailed(async () => {
      process.stderr.write(await logTails(logs));
    });
    const imageOf = (image: string): string => `${tier}/${names[name]}/${image}`;
    const before = await readsOf(registries);
    await run(clients[name](home, imageOf(images.multi)));
    expect((await readsOf(registries)).length).toBeGreaterThan(before.length);
    await expect(run(clients[name](home, imageOf(images.docker)))).rejects.toThrow(/unauthorized|authentication/i);
  },
);

async function readsOf(registries: PrivateRegistries): Promise<RequestRecord[]> {
  return (await registries.of('token').blobReads()).filter(({ status }) => status < 300);
}
