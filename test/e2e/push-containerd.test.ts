import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Containerd } from '../../scripts/lab/containerd.ts';
import { ensureImages, images } from '../../scripts/lab/images.ts';
import { type Lab, REGISTRY } from '../../scripts/lab/lab.ts';
import { startRegistry } from '../../scripts/lab/registry.ts';
import { blobReadsDuring, digestsOf, openLab } from './support.ts';

const USER = { username: 'puller', password: 's3cret' };
/** bcrypt, with the lowest cost. */
const HTPASSWD = `${USER.username}:$2a$04$RYRewAFrkvJ/KKrJ1lsGfeeCgoyZSGgAwllvTiCrjQHW/y3jSKyUK\n`;
const SOURCE = '127.0.0.1:5000';
const IMAGE = 'org/pushed:1';

describe.for([
  ['a registry for everybody', undefined],
  ['a registry that asks who it is', HTPASSWD],
] as const)('containerd pushes through the shared tier, by its hosts.toml, to %s', ([_what, htpasswd]) => {
  test('and another node pulls without a blob being read at the origin', async () => {
    await using lab = await openLab({ isOriginEmpty: true, ...(htpasswd !== undefined && { htpasswd }) });
    await signIn(lab);
    await using builder = await startBuilder(lab);
    const tier = `http://${lab.network.hub.address}:5061`;
    const toml = [`[host."${tier}"]`, 'capabilities = ["push", "pull", "resolve"]', ''].join('\n');
    await builder.containerd.configureHost(REGISTRY, toml);
    await builder.containerd.ctr('images', 'pull', '--plain-http', `${SOURCE}/${images.debian}`);
    await builder.containerd.ctr('images', 'tag', `${SOURCE}/${images.debian}`, `${REGISTRY}/${IMAGE}`);

    const user = htpasswd === undefined ? [] : ['--user', `${USER.username}:${USER.password}`];
    const hosts = ['--hosts-dir', builder.containerd.certsDir];
    await builder.containerd.ctr('images', 'push', ...hosts, ...user, `${REGISTRY}/${IMAGE}`);

    const requests = await lab.origin.requests();
    const changes = requests.filter(({ method }) => ['POST', 'PUT', 'PATCH'].includes(method));
    expect(changes.length).toBeGreaterThan(2);
    expect(new Set(changes.map(({ client }) => client))).toEqual(new Set([lab.network.hub.address]));
    const blobs = digestsOf(await lab.blobs(IMAGE));
    const pull = async (): Promise<void> =>
      await lab.containerd.criPull(`${REGISTRY}/${IMAGE}`, htpasswd === undefined ? undefined : USER);
    expect(await blobReadsDuring(lab, pull)).toEqual([]);
    expect(await lab.containerd.digest(`${REGISTRY}/${IMAGE}`, 'cri')).toBe(await lab.digest(IMAGE));
    expect([...(await lab.containerd.content('cri'))]).toEqual(expect.arrayContaining(blobs));
  });
});

/** So that the lab's own crane may ask the origin. */
async function signIn({ directory, origin }: Lab): Promise<void> {
  const auth = Buffer.from(`${USER.username}:${USER.password}`).toString('base64');
  await mkdir(join(directory, '.docker'), { recursive: true });
  await writeFile(join(directory, '.docker/config.json'), JSON.stringify({ auths: { [origin.address]: { auth } } }));
}

/** A machine with a containerd of its own, and a registry where it finds what it is to push. */
async function startBuilder(lab: Lab): Promise<{ containerd: Containerd } & AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const namespace = await lab.network.attach('builder');
  const directory = join(lab.directory, 'builder');
  await mkdir(directory, { recursive: true });
  const logFile = (name: string): string => join(lab.logs, `builder-${name}.log`);
  const storage = await ensureImages();
  stack.use(await startRegistry({ namespace, storage, directory, logFile: logFile('source'), readOnly: true }));
  const containerd = stack.use(await Containerd.start({ namespace, directory, logFile: logFile('containerd') }));
  const started = stack.move();
  return { containerd, [Symbol.asyncDispose]: async () => await started.disposeAsync() };
}
