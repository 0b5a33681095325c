import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFailed, test } from 'vitest';
import { Program } from '../../scripts/lab/circ.ts';
import { Daemon } from '../../scripts/lab/daemon.ts';
import { ensureImages, images } from '../../scripts/lab/images.ts';
import { logTails, REGISTRY } from '../../scripts/lab/lab.ts';
import { Namespace } from '../../scripts/lab/network.ts';
import { logsDir } from '../../scripts/lab/paths.ts';
import { type Registry, startRegistry } from '../../scripts/lab/registry.ts';
import { craneIn } from '../../scripts/lab/crane.ts';

test('crane pulls through both programs in one process', async () => {
  await using house = await startEmbedded();
  const { crane, registry } = house;
  const digest = await crane('digest', `${registry.address}/${images.debian}`);
  for (const port of [5050, 5061]) {
    const reference = `127.0.0.1:${port}/${REGISTRY}/${images.debian}`;
    expect(await crane('digest', reference)).toBe(digest);
    expect(await crane('validate', '--remote', reference)).toMatch(/^PASS: /);
  }
});

test('Ctrl-C ends it within a second, also with connections open and a download going on', async () => {
  await using house = await startEmbedded();
  const manifest = await house.crane('manifest', `${house.registry.address}/${images.big}`);
  const { layers } = JSON.parse(manifest) as { layers: [{ digest: string }] };
  const repository = images.big.slice(0, images.big.indexOf(':'));
  const paths = ['/v2/', `/v2/${REGISTRY}/${repository}/blobs/${layers[0].digest}`];
  await using client = await Daemon.start({
    argv: house.namespace.command([process.execPath, '--eval', HOLD_CONNECTIONS, ...paths]),
    logFile: join(house.logs, 'client.log'),
  });
  await client.until('answered', async () => (await client.log()).endsWith('all\n'));
  // The shared tier asks everybody at /v2/ for credentials.
  expect((await client.log()).split('\n').toSorted()).toEqual(['', '200', '200', '200', '401', 'all']);
  const start = performance.now();
  house.program.daemon.signal('SIGINT');
  const exit = await house.program.daemon.ended;
  expect(performance.now() - start).toBeLessThan(1000);
  expect(exit.signal).toBeNull();
});

/** Opens a connection to each HTTP port for each path, and reads the first bytes of the answer only. */
const HOLD_CONNECTIONS = `
  const requests = process.argv.slice(1).flatMap((path) => [5050, 5061].map((port) => ({ path, port })));
  let waiting = requests.length;
  for (const { path, port } of requests) {
    const socket = require('node:net').connect(port, '127.0.0.1');
    socket.write('GET ' + path + ' HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n');
    socket.on('error', () => {}).once('data', (head) => {
      socket.pause();
      console.log(String(head).slice(9, 12));
      if (--waiting === 0) console.log('all');
    });
  }
  setInterval(() => {}, 1000);
`;

interface Embedded extends AsyncDisposable {
  readonly namespace: Namespace;
  readonly logs: string;
  readonly registry: Registry;
  readonly program: Program;
  readonly crane: (...args: readonly string[]) => Promise<string>;
}

/** What `npm start` starts, with a registry beside it, on a loopback of its own. */
async function startEmbedded(): Promise<Embedded> {
  const storage = await ensureImages();
  await mkdir(logsDir, { recursive: true });
  const logs = await mkdtemp(join(logsDir, 'start-'));
  onTestFailed(async () => {
    process.stderr.write(await logTails(logs));
  });
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'circ-e2e-'));
  stack.defer(async () => await rm(directory, { recursive: true }));
  const namespace = stack.use(await Namespace.create('start'));
  const logFile = join(logs, 'origin.log');
  const registry = stack.use(await startRegistry({ namespace, storage, directory, logFile, readOnly: true }));
  const origins = join(directory, 'origins.yaml');
  await writeFile(origins, `registries:\n  ${REGISTRY}:\n    endpoint: http://${registry.address}\n`);
  const program = stack.use(
    await Program.start('scripts/start.ts', [5051, 5062], {
      namespace,
      directory,
      logFile: join(logs, 'start.log'),
      env: { CIRC_ORIGINS: origins },
    }),
  );
  const running = stack.move();
  return {
    namespace,
    logs,
    registry,
    program,
    crane: craneIn({ namespace, home: directory }),
    [Symbol.asyncDispose]: async () => await running.disposeAsync(),
  };
}
