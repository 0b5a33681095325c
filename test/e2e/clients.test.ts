import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test as base, describe, expect } from 'vitest';
import { debianEnv } from '../../scripts/lab/debian-tools.ts';
import { Docker } from '../../scripts/lab/docker.ts';
import { get } from '../../scripts/lab/http.ts';
import { images, platforms } from '../../scripts/lab/images.ts';
import { AGENT_URL, type Lab, startLab } from '../../scripts/lab/lab.ts';
import { privately } from '../../scripts/lab/mounts.ts';
import { toolPath } from '../../scripts/lab/tools.ts';
import { expectedLayout, readLayout } from './layout.ts';
import { blobReadsDuring, digestsOf, digestsRead, showLogsOnFailure } from './support.ts';

/** A node on which programs run with a home of their own. */
interface Node {
  readonly lab: Lab;
  readonly home: string;
  /** Runs a program to its end, and returns what it printed. */
  readonly run: (...argv: readonly string[]) => Promise<string>;
  /** Debian's Docker daemon, with the agent as its `registry-mirrors`. */
  readonly docker: Docker;
}

/** Names of the origin. A client has its own, so that circ has nothing of it yet. */
const registries = ['podman.lab', 'buildah.lab', 'docker.lab', 'skopeo.lab', 'oras.lab', 'crane.lab', 'docker.io'];

// oxlint-disable-next-line no-empty-pattern -- vitest wants to read there which fixtures are needed
const test = base.extend('node', { scope: 'file' }, async ({}, { onCleanup }): Promise<Node> => {
  await using stack = new AsyncDisposableStack();
  const lab = stack.use(await startLab({ registries }));
  const home = join(lab.directory, 'home');
  await mkdir(join(home, '.config/containers'), { recursive: true });
  const policy = JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] });
  await writeFile(join(home, '.config/containers/policy.json'), policy);
  const docker = stack.use(
    await Docker.start({
      namespace: lab.node,
      directory: join(lab.directory, 'docker'),
      logFile: join(lab.logs, 'docker.log'),
      mirrors: [AGENT_URL],
    }),
  );
  const env = { ...debianEnv(), HOME: home, TMPDIR: home };
  const running = stack.move();
  onCleanup(async () => await running.disposeAsync());
  return {
    lab,
    home,
    docker,
    run: async (...argv) => (await lab.node.run(privately(argv), { env, cwd: home })).stdout.trim(),
  };
});

/** An image as clients name it that know nothing of mirrors. */
function pathForm(registry: string, image: string): string {
  return `127.0.0.1:5050/${registry}/${image}`;
}

/** What a client that keeps images unpacked says of one. */
interface Kept {
  /** Of the index or manifest that was pulled. */
  readonly digest: string;
  /** Digest of the configuration, which names all layers by what is in them. */
  readonly id: string;
}

describe.for([
  {
    name: 'podman',
    pull: async ({ run, home }: Node, reference: string): Promise<Kept> => {
      const podman = ['podman', '--root', join(home, 'podman'), '--runroot', join(home, 'podman-run')];
      await run(...podman, 'pull', '--tls-verify=false', reference);
      const [digest = '', id = ''] = (
        await run(...podman, 'image', 'inspect', '--format', '{{.Digest}} {{.Id}}', reference)
      ).split(' ');
      await run(...podman, 'image', 'rm', reference);
      return { digest, id: `sha256:${id}` };
    },
  },
  {
    name: 'buildah',
    pull: async ({ run, home }: Node, reference: string): Promise<Kept> => {
      const buildah = ['buildah', '--root', join(home, 'buildah'), '--runroot', join(home, 'buildah-run')];
      await run(...buildah, 'pull', '--tls-verify=false', reference);
      const [digest = '', id = ''] = (
        await run(...buildah, 'images', '--no-trunc', '--format', '{{.Digest}} {{.ID}}', reference)
      ).split(/ +/);
      await run(...buildah, 'rmi', reference);
      return { digest, id };
    },
  },
  {
    name: 'docker',
    pull: async ({ docker }: Node, reference: string): Promise<Kept> => await pullWithDocker(docker, reference),
  },
])('$name by the path form', ({ name, pull }) => {
  test.for(['docker', 'multi'] as const)('pulls %s: each blob leaves the origin once', async (image, { node }) => {
    const { lab } = node;
    showLogsOnFailure(lab);
    const registry = `${name}.lab`;
    const reference = pathForm(registry, images[image]);
    const blobs = digestsOf(await lab.blobs(images[image], image === 'multi' ? platforms[0] : undefined));
    const kept = { digest: await lab.digest(images[image]), id: blobs[0] };

    const reads = await blobReadsDuring(lab, async () => expect(await pull(node, reference)).toEqual(kept));
    expect(digestsRead(reads)).toEqual(blobs.toSorted());
    expect(await blobReadsDuring(lab, async () => expect(await pull(node, reference)).toEqual(kept))).toEqual([]);
  });
});

describe.for([
  {
    name: 'skopeo',
    copy: async ({ run }: Node, reference: string, to: string) =>
      await run(
        'skopeo',
        'copy',
        '--src-tls-verify=false',
        '--preserve-digests',
        `docker://${reference}`,
        `oci:${to}:1`,
      ),
  },
  {
    name: 'oras',
    copy: async ({ run }: Node, reference: string, to: string) =>
      await run(toolPath('oras'), 'copy', '--from-plain-http', reference, '--to-oci-layout', `${to}:1`),
  },
  {
    name: 'crane',
    copy: async ({ run }: Node, reference: string, to: string) =>
      await run(toolPath('crane'), 'pull', '--format', 'oci', reference, to),
  },
])('$name by the path form', ({ name, copy }) => {
  test('copies an image byte for byte: each blob leaves the origin once', async ({ node }) => {
    const { lab, home } = node;
    showLogsOnFailure(lab);
    const reference = pathForm(`${name}.lab`, images.debian);
    const reads = await blobReadsDuring(lab, async () => await copy(node, reference, join(home, name)));
    expect(await readLayout(join(home, name))).toEqual(await expectedLayout(lab, images.debian));
    expect(digestsRead(reads)).toEqual(digestsOf(await lab.blobs(images.debian)).toSorted());

    const again = join(home, `${name}-again`);
    expect(await blobReadsDuring(lab, async () => await copy(node, reference, again))).toEqual([]);
    expect(await readLayout(again)).toEqual(await expectedLayout(lab, images.debian));
  });
});

test('skopeo reads an index byte for byte', async ({ node }) => {
  const { lab, run } = node;
  showLogsOnFailure(lab);
  const reference = pathForm('skopeo.lab', images.multi);
  const index = await run('skopeo', 'inspect', '--raw', '--tls-verify=false', `docker://${reference}`);
  expect(`sha256:${createHash('sha256').update(index).digest('hex')}`).toBe(await lab.digest(images.multi));
});

test('oras pulls the files of an artifact, and copies an index with all below it', async ({ node }) => {
  const { lab, home, run } = node;
  showLogsOnFailure(lab);
  const files = join(home, 'artifact');
  await run(toolPath('oras'), 'pull', '--plain-http', '-o', files, pathForm('oras.lab', images.artifact));
  const found = [];
  for (const file of await readdir(files)) {
    found.push(
      `sha256:${createHash('sha256')
        .update(await readFile(join(files, file)))
        .digest('hex')}`,
    );
  }
  expect(found).toEqual(digestsOf((await lab.blobs(images.artifact)).slice(1)));

  const copied = join(home, 'index');
  const reference = pathForm('oras.lab', images.multi);
  await run(toolPath('oras'), 'copy', '--from-plain-http', reference, '--to-oci-layout', `${copied}:1`);
  const { root, files: content } = await readLayout(copied);
  expect(root).toBe(await lab.digest(images.multi));
  // The index, and of each platform manifest, configuration and two layers, of which one is common.
  expect(content.size).toBe(8);
  expect([...content].every(([name, digest]) => name === digest)).toBe(true);
});

test('oras finds nothing attached to an image that has nothing attached', async ({ node }) => {
  const { lab, run } = node;
  showLogsOnFailure(lab);
  const reference = pathForm('oras.lab', images.debian);
  const found = JSON.parse(await run(toolPath('oras'), 'discover', '--plain-http', '--format', 'json', reference));
  expect(found).toMatchObject({ digest: await lab.digest(images.debian), referrers: [] });
});

describe('the Docker daemon with the agent in its registry-mirrors', () => {
  test('is never challenged', async ({ node: { lab } }) => {
    showLogsOnFailure(lab);
    expect((await get(lab.node, `${AGENT_URL}/v2/`)).status).toBe(200);
  });

  test('pulls an official image of Docker Hub through it', async ({ node }) => {
    const { lab, docker } = node;
    showLogsOnFailure(lab);
    const blobs = digestsOf(await lab.blobs(images.official));
    const kept = { digest: await lab.digest(images.official), id: blobs[0] };
    const name = images.official.slice('library/'.length);

    const reads = await blobReadsDuring(lab, async () => expect(await pullWithDocker(docker, name)).toEqual(kept));
    expect(digestsRead(reads)).toEqual(blobs.toSorted());
    expect(reads.every(({ client }) => client === lab.network.hub.address)).toBe(true);
    expect(await blobReadsDuring(lab, async () => await pullWithDocker(docker, name))).toEqual([]);
  });
});

/** Pulls an image, and forgets it again. */
async function pullWithDocker(docker: Docker, reference: string): Promise<Kept> {
  const colon = reference.lastIndexOf(':');
  await docker.pull(reference.slice(0, colon), reference.slice(colon + 1));
  const { Id, RepoDigests } = await docker.image(reference);
  await docker.remove(reference);
  return { digest: RepoDigests[0]?.split('@')[1] ?? '', id: Id };
}
