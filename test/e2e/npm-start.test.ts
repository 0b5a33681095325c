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
import { startRegistry } from '../../scripts/lab/registry.ts';
import { toolPath } from '../../scripts/lab/tools.ts';

test('crane pulls through both programs in one process', async () => {
  await using house = await startEmbedded();
  const { namespace, directory, registry } = house;
  const crane = async (...args: string[]): Promise<string> =>
    (await namespace.run([toolPath('crane'), ...args], { env: { HOME: directory } })).stdout.trim();
  const digest = await crane('digest', `${registry.address}/${images.debian}`);
  for (const port of [5050, 5061]) {
    const reference = `127.0.0.1:${port}/${REGISTRY}/${images.debian}`;
    expect(await crane('digest', reference)).toBe(digest);
    expect(await crane('validate', '--remote', reference)).toMatch(/^PASS: /);
  }
});

test('Ctrl-C ends it within a second, also with connections open', async () => {
  await using house = await startEmbedded();
  await using client = await Daemon.start({
    argv: house.namespace.command([process.execPath, '--eval', HOLD_CONNECTIONS]),
    logFile: join(house.logs, 'client.log'),
  });
  await client.until('connected', async () => (await client.log()).includes('all answered'));
  const start = performance.now();
  house.program.daemon.signal('SIGINT');
  const exit = await house.program.daemon.ended;
  expect(performance.now() - start).toBeLessThan(1000);
  expect(exit.signal).toBeNull();
});

/** Keeps a connection open to each HTTP port after its first answer. */
const HOLD_CONNECTIONS = `
  let answers = 0;
  for (const port of [5050, 5061]) {
    require('node:net').connect(port, '127.0.0.1')
      .on('data', () => { if (++answers === 2) console.log('all answered'); })
      .on('error', () => {})
      .write('GET /v2/ HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n');
  }
  setInterval(() => {}, 1000);
`;

interface Embedded extends AsyncDisposable {
  readonly namespace: Namespace;
  readonly directory: string;
  readonly logs: string;
  readonly registry: { readonly address: string };
  readonly program: Program;
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
    directory,
    logs,
    registry,
    program,
    [Symbol.asyncDispose]: async () => await running.disposeAsync(),
  };
}
