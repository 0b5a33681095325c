import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { BuildKit } from '../../scripts/lab/buildkit.ts';
import { debianEnv } from '../../scripts/lab/debian-tools.ts';
import { Docker } from '../../scripts/lab/docker.ts';
import { ensureImages, images } from '../../scripts/lab/images.ts';
import { type Lab, REGISTRY, startLab } from '../../scripts/lab/lab.ts';
import { privately } from '../../scripts/lab/mounts.ts';
import { type Registry, startRegistry } from '../../scripts/lab/registry.ts';
import { toolPath } from '../../scripts/lab/tools.ts';
import { blobReadsDuring, digestsOf, expectComplete, pullFresh, showLogsOnFailure } from './support.ts';

/** Where the builder has its images: in a registry of its own, on its own machine. */
const SOURCE = '127.0.0.1:5000';

/** How a client gets an image out of the builder's registry, and into the shared tier. */
const clients: Record<string, (home: string, from: string, to: string) => (readonly string[])[]> = {
  crane: (_home, from, to) => [[toolPath('crane'), 'copy', '--insecure', from, to]],
  oras: (_home, from, to) => [[toolPath('oras'), 'copy', '--from-plain-http', '--to-plain-http', from, to]],
  skopeo: (_home, from, to) => [
    ['skopeo', 'copy', '--src-tls-verify=false', '--dest-tls-verify=false', `docker://${from}`, `docker://${to}`],
  ],
  buildah: (home, from, to) => {
    const buildah = ['buildah', '--root', join(home, 'buildah'), '--runroot', join(home, 'buildah-run')];
    return [
      [...buildah, 'pull', '--tls-verify=false', from],
      [...buildah, 'push', '--tls-verify=false', from, `docker://${to}`],
    ];
  },
  podman: (home, from, to) => {
    const podman = ['podman', '--root', join(home, 'podman'), '--runroot', join(home, 'podman-run')];
    return [
      [...podman, 'pull', '--tls-verify=false', from],
      [...podman, 'push', '--tls-verify=false', from, to],
    ];
  },
};

describe.for(Object.keys(clients))('%s pushes through the shared tier', (name) => {
  test('and a node pulls without a blob being read at the origin', async () => {
    await using lab = await startLab({ isOriginEmpty: true });
    showLogsOnFailure(lab);
    await using source = await startSource(lab);
    expect(source.daemon.running).toBe(true);
    const home = await homeOf(lab);
    const env = { ...debianEnv(), HOME: home, TMPDIR: home };
    const image = `org/${name}:1`;
    const to = `${lab.network.hub.address}:5061/${REGISTRY}/${image}`;
    for (const argv of clients[name]?.(home, `${SOURCE}/${images.debian}`, to) ?? []) {
      await lab.node.run(privately(argv), { env, cwd: home });
    }
    const blobs = await lab.blobs(image);
    expect(digestsOf(blobs).length).toBeGreaterThan(1);
    expect(await blobReadsDuring(lab, async () => await pullFresh(lab, image))).toEqual([]);
    await expectComplete(lab, image, blobs);
  });
});

test('the Docker daemon pushes through the shared tier, and a node pulls without a blob being read at the origin', async () => {
  await using lab = await startLab({ isOriginEmpty: true });
  showLogsOnFailure(lab);
  await using source = await startSource(lab);
  expect(source.daemon.running).toBe(true);
  const { address } = lab.network.hub;
  await using docker = await Docker.start({
    namespace: lab.node,
    directory: join(lab.directory, 'docker'),
    logFile: join(lab.logs, 'docker.log'),
    mirrors: [],
    insecure: [`${address}/24`],
  });
  const [name = '', tag = ''] = images.debian.split(':');
  await docker.pull(`${SOURCE}/${name}`, tag);
  const image = `${address}:5061/${REGISTRY}/org/docker`;
  await docker.tag(`${SOURCE}/${images.debian}`, image, '1');
  await docker.push(image, '1', { username: 'builder', password: 'any: the origin lets everybody in' });
  const blobs = await lab.blobs('org/docker:1');
  expect(await blobReadsDuring(lab, async () => await pullFresh(lab, 'org/docker:1'))).toEqual([]);
  await expectComplete(lab, 'org/docker:1', blobs);
});

test('BuildKit builds an image and pushes it through the shared tier, and a node pulls without a blob being read at the origin', async () => {
  await using lab = await startLab({ isOriginEmpty: true });
  showLogsOnFailure(lab);
  const tier = `${lab.network.hub.address}:5061`;
  await using buildkit = await BuildKit.start({
    namespace: lab.node,
    directory: join(lab.directory, 'buildkit'),
    logFile: join(lab.logs, 'buildkitd.log'),
    insecure: tier,
  });
  const context = await madeIn(lab, 'context');
  await writeFile(join(context, 'Dockerfile'), 'FROM scratch\nCOPY model.bin /\nCMD ["/model.bin"]\n');
  await writeFile(join(context, 'model.bin'), randomBytes(3_000_000));
  await buildkit.push(context, `${tier}/${REGISTRY}/org/buildkit:1`);
  const blobs = await lab.blobs('org/buildkit:1');
  expect(digestsOf(blobs)).toHaveLength(2);
  expect(await blobReadsDuring(lab, async () => await pullFresh(lab, 'org/buildkit:1'))).toEqual([]);
  await expectComplete(lab, 'org/buildkit:1', blobs);
});

/** The builder's registry. */
async function startSource(lab: Lab): Promise<Registry> {
  return await startRegistry({
    namespace: lab.node,
    storage: await ensureImages(),
    directory: await madeIn(lab, 'source'),
    logFile: join(lab.logs, 'source.log'),
    readOnly: true,
  });
}

async function madeIn(lab: Lab, name: string): Promise<string> {
  const directory = join(lab.directory, name);
  await mkdir(directory, { recursive: true });
  return directory;
}

async function homeOf(lab: Lab): Promise<string> {
  const home = await madeIn(lab, 'home');
  await mkdir(join(home, '.config/containers'), { recursive: true });
  const policy = JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] });
  await writeFile(join(home, '.config/containers/policy.json'), policy);
  return home;
}
