import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, onTestFailed, test } from 'vitest';
import { EMBEDDED } from '../../scripts/embedded.ts';
import { AGENT_VARIABLES } from '../../agent/config.ts';
import { TIER_VARIABLES } from '../../shared-tier/config.ts';
import { DirectoryLock } from '../../content/directory-lock.ts';
import { generatedBlob } from '../support/blobs.ts';
import { download, urlOf } from '../support/house-client.ts';
import { type Exit, Program, run } from '../support/house-process.ts';
import { REGISTRY, originsFile } from '../support/house.ts';
import { startOrigin } from '../support/origin.ts';
import { type TmpDir, tmpDir } from '../support/tmp-dir.ts';

const ANYWHERE = '127.0.0.1:0';
const LISTENERS = {
  CIRC_AGENT_LISTEN: ANYWHERE,
  CIRC_AGENT_STATUS_LISTEN: ANYWHERE,
  CIRC_TIER_GRPC_LISTEN: ANYWHERE,
  CIRC_TIER_HTTP_LISTEN: ANYWHERE,
  CIRC_TIER_STATUS_LISTEN: ANYWHERE,
};

function environment(directory: TmpDir): Record<string, string> {
  return {
    ...LISTENERS,
    CIRC_AGENT_CACHE_DIR: join(directory.path, 'agent'),
    CIRC_AGENT_MIN_FREE: '0%',
    CIRC_TIER_STORE: `file://${join(directory.path, 'tier')}`,
    CIRC_TIER_LEASES: 'memory',
  };
}

/** Any text names a directory, or an address of a pod. */
const ANY_TEXT = new Set([
  'POD_IP',
  'CIRC_AGENT_CACHE_DIR',
  'CIRC_TIER_SPOOL_DIR',
  'AWS_ACCESS_KEY_ID',
  'AWS_CA_BUNDLE',
  'AWS_DEFAULT_REGION',
  'AWS_REGION',
  'AWS_SECRET_ACCESS_KEY',
  'AWS_SESSION_TOKEN',
]);

const PROGRAMS = [
  { file: 'agent/main.ts', name: 'circ-agent', variables: AGENT_VARIABLES, listener: 'CIRC_AGENT_LISTEN' },
  {
    file: 'shared-tier/main.ts',
    name: 'circ-shared-tier',
    variables: TIER_VARIABLES,
    listener: 'CIRC_TIER_HTTP_LISTEN',
  },
  {
    file: 'scripts/start.ts',
    name: 'circ',
    variables: { ...TIER_VARIABLES, ...AGENT_VARIABLES },
    defaults: EMBEDDED,
    listener: 'CIRC_TIER_GRPC_LISTEN',
  },
];

describe.each(PROGRAMS)('$file', ({ file, name, variables, defaults = {}, listener }) => {
  describe('asked for', () => {
    let help: Exit;
    const widest = Math.max(...Object.keys(variables).map((each) => each.length));
    beforeAll(async () => {
      help = await run(file, { args: ['--help'] });
    });

    test.each(Object.entries(variables))('--help lists %s with its meaning and default', (variable, about) => {
      const line = help.stdout.split('\n').find((each) => each.trim().startsWith(`${variable} `));
      const byDefault = Object.entries(defaults).find(([each]) => each === variable)?.[1] ?? about.default;
      expect(line?.trim()).toBe(`${variable.padEnd(widest)}  ${about.meaning} [${byDefault ?? 'unset'}]`);
      expect([help.code, help.stderr]).toEqual([0, '']);
    });

    test('--version tells its name and version', async () => {
      const { code, stdout, stderr } = await run(file, { args: ['--version'] });
      expect([code, stdout, stderr]).toEqual([
        0,
        expect.stringMatching(new RegExp(`^${name} \\d+\\.\\d+\\.\\d+\n$`)),
        '',
      ]);
    });
  });

  test('refuses arguments that it does not know', async () => {
    const wrong = ['--nonsense', 'word'];
    for (const { code, stderr } of await Promise.all(
      wrong.map((each) => run(file, { args: [each], env: LISTENERS })),
    )) {
      expect(code).toBe(2);
      expect(stderr).toContain(name);
    }
  });

  test('tells every mistake at once, each with its variable and what is expected', async () => {
    const wrong = Object.keys(variables).filter((variable) => !ANY_TEXT.has(variable));
    const files = { CIRC_ORIGINS: '/no/such/file', CIRC_TIER_KEY_FILE: '/no/such/key' };
    const { code, stdout, stderr } = await run(file, {
      env: { ...Object.fromEntries(wrong.map((variable) => [variable, '?'])), ...files },
    });
    expect([code, stdout]).toEqual([2, '']);
    for (const variable of wrong) {
      expect(
        stderr.split('\n').filter((line) => line.includes(`${variable}: `)),
        `of ${variable}`,
      ).toHaveLength(1);
    }
    expect(stderr).toContain('expected');
  });

  test('ends with 1 and names the address when a port is in use', async () => {
    await using directory = await tmpDir();
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : 0;
    const env = { ...environment(directory), [listener]: `127.0.0.1:${port}` };
    const { code, stderr } = await run(file, { env });
    server.close();
    expect(code).toBe(1);
    expect(stderr).toContain(`127.0.0.1:${port}`);
    expect(stderr).toMatch(/in use|EADDRINUSE/);
  });

  test('ends with 1 and names the directory when that cannot be used, and settings that it does not know', async () => {
    await using directory = await tmpDir();
    const path = join(directory.path, 'file');
    await writeFile(path, 'no directory');
    const env = { ...environment(directory), CIRC_AGENT_CACHE_DIR: path, CIRC_TIER_STORE: `file://${path}` };
    const { code, stdout, stderr } = await run(file, { env: { ...env, CIRC_TEIR_STORE: 'misspelt' } });
    expect(code).toBe(1);
    expect(stderr).toContain(path);
    expect(stdout).toMatch(/"variables":\[[^\]]*"CIRC_TEIR_STORE".*these are no settings of this program/);
    expect(stdout).not.toContain('misspelt');
  });

  test('ends with 1 and says so when another process uses its directory', async () => {
    await using directory = await tmpDir();
    const path = join(directory.path, 'shared');
    const env = { ...environment(directory), CIRC_AGENT_CACHE_DIR: path, CIRC_TIER_STORE: `file://${path}` };
    using lock = DirectoryLock.take(path);
    const { code, stderr } = await run(file, { env });
    expect([lock, code]).toEqual([lock, 1]);
    expect(stderr).toContain(`the directory ${path} is in use by another process`);
  });
});

describe.each(['agent/main.ts', 'shared-tier/main.ts'])('%s', (file) => {
  test.each(['SIGINT', 'SIGTERM'] as const)('ends with 0 within a second of %s', async (signal) => {
    await using directory = await tmpDir();
    await using program = new Program(file, { env: environment(directory), cwd: directory.path });
    await program.listening();
    const startedAt = performance.now();
    program.kill(signal);
    expect(await program.exited()).toMatchObject({ code: 0, signal: null });
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });
});

describe('npm start', () => {
  test('tells where it listens, the hosts.toml, and commands to try', async () => {
    await using directory = await tmpDir();
    await using program = new Program('scripts/start.ts', { env: environment(directory), cwd: directory.path });
    const mirror = await program.says(/mirror for containerd\s+(http:\S+)/);
    await program.says(/(Ctrl-C)/);
    program.kill('SIGINT');
    const { stderr } = await program.exited();
    expect(stderr).toContain(`[host."${mirror}"]`);
    expect(stderr).toContain('capabilities = ["pull", "resolve"]');
    expect(stderr).toMatch(new RegExp(`curl .*${mirror}/v2/`));
    expect(stderr).toContain(`crane pull ${mirror.slice('http://'.length)}/`);
  });

  test('leaves nothing running when npm itself is told to stop', async () => {
    await using directory = await tmpDir();
    const env = { ...process.env, ...environment(directory) };
    const npm = spawn('npm', ['start'], { env, stdio: ['ignore', 'ignore', 'pipe'], detached: true });
    onTestFailed(() => void process.kill(-(npm.pid ?? 0), 'SIGKILL'));
    let said = '';
    npm.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
    await expect.poll(() => said, { timeout: 20_000 }).toContain('Ctrl-C');
    npm.kill('SIGTERM');
    // Whoever lives on has the standard error of both.
    await expect(once(npm.stderr, 'close', { signal: AbortSignal.timeout(10_000) })).resolves.toEqual([false]);
  });

  test.each(['SIGINT', 'SIGTERM'] as const)(
    'ends within a second of %s also with transfers running',
    async (signal) => {
      await using directory = await tmpDir();
      await using origin = await startOrigin({ mood: { bytesPerSecondPerConnection: 1_000_000 } });
      const { digest } = await origin.addBlob('org/app', generatedBlob(100_000_000));
      const origins = join(directory.path, 'origins.yaml');
      await writeFile(origins, originsFile({ [REGISTRY]: origin }));
      const env = { ...environment(directory), CIRC_ORIGINS: origins, CIRC_AGENT_ADMIT: 'always' };
      await using program = new Program('scripts/start.ts', { env, cwd: directory.path });
      const mirror = await program.says(/mirror for containerd\s+(http:\S+)/);
      const url = urlOf({ mirror, registry: REGISTRY, repository: 'org/app' }, 'blobs', digest);
      const began = Promise.withResolvers<void>();
      const downloads = Array.from({ length: 4 }, () => download(url, { onPiece: () => began.resolve() }));
      await began.promise;
      const startedAt = performance.now();
      program.kill(signal);
      expect(await program.exited()).toMatchObject({ code: 0 });
      expect(performance.now() - startedAt).toBeLessThan(1_000);
      for (const got of await Promise.all(downloads)) expect(got.isWhole).toBe(false);
    },
  );
});
