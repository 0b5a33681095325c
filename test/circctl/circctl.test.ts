import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';
import { COMMANDS } from '../../circctl/circctl.ts';
import { formatAddress } from '../../service/units.ts';
import { generatedBlob } from '../support/blobs.ts';
import { run } from '../support/house-process.ts';
import { REGISTRY, type House, startHouse } from '../support/house.ts';
import { PRIVATE } from '../support/registries/fixtures.ts';
import { gitlab } from '../support/registries/gitlab.ts';
import { type Ran, type RunOptions, circctl } from '../support/run-circctl.ts';

const APP = 'org/app';
const IMAGE = `${REGISTRY}/${APP}:v1`;

async function filled() {
  const house = await startHouse();
  const { layers } = await house.origin.addImage(APP, 'v1', { layers: [generatedBlob(300_000)] });
  const preheated = await at(house, ['preheat', IMAGE]);
  expect(preheated.code).toBe(0);
  return {
    house,
    layer: layers[0]?.digest ?? '',
    preheated,
    [Symbol.asyncDispose]: () => house[Symbol.asyncDispose](),
  };
}

async function at(house: House, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  return await circctl(args, { ...options, env: { CIRC_SHARED_TIER: formatAddress(house.tierGrpc) } });
}

describe('circctl', () => {
  test('tells of all commands, and of each', async () => {
    const { code, out } = await circctl(['--help']);
    expect(code).toBe(0);
    for (const [name, { summary }] of Object.entries(COMMANDS)) {
      expect(out).toContain(`${name} `);
      expect(out).toContain(summary);
      const own = await circctl([name, '--help']);
      expect([own.code, own.err]).toEqual([0, '']);
      expect(own.out).toContain(`circctl ${name}`);
    }
    expect(out.split('\n').filter((line) => line.length > 120)).toEqual([]);
  });

  test.each([
    [[], 'expected a command'],
    [['frobnicate'], 'there is no command "frobnicate"'],
    [['constructor'], 'there is no command "constructor"'],
    [['status', 'more'], 'expected: circctl status'],
    [['status', '--frob'], "Unknown option '--frob'"],
    [['preheat'], 'expected: circctl preheat IMAGE'],
    [['preheat', 'a', '--parallel', '17'], '--parallel is a number from 1 to 16'],
    [['preheat', 'a', '--username', 'jane'], '--username and --password-stdin go together'],
    [['preheat', 'a', '--password-stdin'], '--username and --password-stdin go together'],
    [['evict'], 'a digest, a repository, or --all'],
    [['evict', 'a', '--all'], 'a digest, a repository, or --all'],
    [['evict', '--all'], '--all needs --yes, or --dry-run'],
    [['repos', '--sort', 'age'], '--sort is one of name, size, pulls'],
    [['doctor', '--root', '/nowhere'], '--root /nowhere is no directory'],
    [['doctor', '--only', 'config'], '--only is one of containerd-too-old, config-path, '],
    [['status', '--tier', 'nonsense'], 'CIRC_SHARED_TIER: expected host:port'],
  ])('takes %j for a wrong call', async (args, message) => {
    const { code, out, err } = await circctl(args);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(message);
  });

  test('says what to do when nobody answers', async () => {
    const { code, err } = await circctl(['status', '--tier', '127.0.0.1:1']);
    expect(code).toBe(1);
    expect(err).toMatch(
      /^circctl: the shared tier at 127\.0\.0\.1:1 cannot be reached: .*ECONNREFUSED 127\.0\.0\.1:1\n/,
    );
    expect(err).toContain('kubectl port-forward');
  });

  test('ends without a word when nobody reads on, as in a pipe to head', async () => {
    const child = spawn(process.execPath, ['scripts/circctl.ts', 'doctor'], { stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.destroy();
    const [errors, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
    expect([errors, code]).toEqual(['', 141]);
  });

  test('is a program of its own', async () => {
    const version = await run('scripts/circctl.ts', { args: ['--version'] });
    expect(version).toMatchObject({ code: 0, stderr: '', stdout: expect.stringMatching(/^circctl \d/) as string });
    const wrong = await run('scripts/circctl.ts', { args: ['frob'] });
    expect(wrong).toMatchObject({ code: 2, stdout: '' });
  });
});

describe('circctl preheat', () => {
  test('tells of each object, and how much it was', async () => {
    await using it = await filled();
    const { out } = it.preheated;
    expect(out).toMatch(new RegExp(`^fetched   ${it.layer}  293 KiB$`, 'm'));
    expect(out).toMatch(/^3 of 3 objects cached, 293\.\d KiB, 293\.\d KiB of it fetched now, in \d+\.\d s$/m);
    const again = await at(it.house, ['preheat', IMAGE]);
    expect(again.out).toMatch(new RegExp(`^present   ${it.layer}`, 'm'));
    expect(again.out).toContain(' 0 B of it fetched now');
  });

  test('draws a bar on a terminal, and takes it away at the end', async () => {
    await using house = await startHouse();
    await house.origin.addImage(APP, 'v1', { layers: [generatedBlob(300_000)] });
    const { err } = await at(house, ['preheat', IMAGE], { isInteractive: true });
    expect(err).toMatch(/\[#*-*\] +\d+ % {2}\S+ \S+ of \S+ \S+ {2}\d of 3 objects/);
    expect(err.endsWith('\r\u{1b}[K')).toBe(true);
  });

  test('ends with 1, and says why, when something of it failed', async () => {
    await using house = await startHouse();
    const { layers } = await house.origin.addImage(APP, 'v1', { layers: [generatedBlob(300_000)] });
    house.origin.remove(APP, layers[0]?.digest ?? '');
    const { code, out, err } = await at(house, ['preheat', IMAGE]);
    expect(code).toBe(1);
    expect(err).toBe(`failed    ${layers[0]?.digest}: the registry does not have it\n`);
    expect(out).toContain('2 of 3 objects cached');
    const missing = await at(house, ['preheat', `${REGISTRY}/${APP}:v2`]);
    expect(missing).toMatchObject({ code: 1, out: '' });
    expect(missing.err).toBe('circctl: the registry does not have this image, or not for these credentials\n');
  });

  test('takes an account’s password from standard input', async () => {
    const users = { jane: { password: 'a-secret', repositories: [PRIVATE] } };
    await using registry = await gitlab.start({ users, privateRepositories: [PRIVATE] });
    await registry.addImage(PRIVATE, 'v1', { layers: [generatedBlob(1_000)] });
    await using house = await startHouse({ registries: { [gitlab.name]: registry } });
    const args = ['preheat', `${gitlab.name}/${PRIVATE}:v1`];
    const bare = await at(house, args);
    expect(bare.code).toBe(1);
    expect(bare.err).toContain('give --username and --password-stdin');
    const login = ['--username', 'jane', '--password-stdin'];
    expect(await at(house, [...args, ...login], { input: 'wrong' })).toMatchObject({ code: 1 });
    expect(await at(house, [...args, ...login], { input: 'a-secret' })).toMatchObject({ code: 0, err: '' });
  });
});

describe('circctl about a shared tier', () => {
  test('status tells what it has done', async () => {
    await using it = await filled();
    const { code, out } = await at(it.house, ['status']);
    expect(code).toBe(0);
    expect(out).toMatch(/^store +3 contents, 293\.\d KiB of 200 GiB \(disk\)$/m);
    expect(out).toMatch(/^agents +1 connected$/m);
    const [json] = (await at(it.house, ['status', '--json'])).json();
    expect(json).toMatchObject({ blobs: 3, capacityBytes: 200 * 2 ** 30, agents: 1 });
  });

  test('repos is a table of repositories', async () => {
    await using it = await filled();
    const { out } = await at(it.house, ['repos', '--sort', 'size']);
    expect(out).toMatch(/^REPOSITORY +CONTENTS +SIZE +PULLS\nregistry\.test\/org\/app +3 +293\.\d KiB +1\n$/);
    expect((await at(it.house, ['repos', '--json'])).json()).toMatchObject([{ repository: APP, blobs: 3, pulls: 1 }]);
  });

  test('blobs is a table of contents', async () => {
    await using it = await filled();
    const { out } = await at(it.house, ['blobs']);
    expect(out).toMatch(/^DIGEST +SIZE\n(sha256:\S{64} +\S+ \S+\n){3}$/);
    const ofRepository = (await at(it.house, ['blobs', `${REGISTRY}/${APP}`, '--json'])).json();
    expect(ofRepository).toContainEqual({ digest: it.layer, size: 300_000 });
  });

  test('fetches tells what is under way', async () => {
    await using house = await startHouse();
    const { layers } = await house.origin.addImage(APP, 'v1', { layers: [generatedBlob(500_000)] });
    const digest = layers[0]?.digest ?? '';
    house.origin.when({ digest, method: 'GET' }, { stallAt: 250_000 });
    const hangUp = new AbortController();
    const downloading = house.blob(APP, digest, { signal: hangUp.signal });
    await expect
      .poll(async () => (await at(house, ['fetches'])).out, { timeout: 5_000 })
      .toMatch(/registry\.test\/org\/app +sha256:\S{12} +\[#{10}-{10}\] +50 % .* 1 +\d+ s$/m);
    hangUp.abort();
    await downloading;
  });

  test('takes its common options before the command as well', async () => {
    await using it = await filled();
    const tier = formatAddress(it.house.tierGrpc);
    expect(await circctl(['--tier', tier, '--json', 'status'])).toMatchObject({ code: 0, err: '' });
    expect(await circctl(['--tier', tier, 'frobnicate'])).toMatchObject({ code: 2 });
  });

  test.each([
    ['evict', 'sha256:abc'],
    ['preheat', 'Not An Image'],
  ])('takes %s %j for a wrong call', async (...args) => {
    await using it = await filled();
    expect(await at(it.house, args)).toMatchObject({ code: 2, out: '' });
  });

  test('evict removes what it is told to', async () => {
    await using it = await filled();
    const dry = await at(it.house, ['evict', '--all', '--dry-run']);
    expect(dry.out).toMatch(/^3 contents, 293\.\d KiB, would be removed\n$/);
    expect((await at(it.house, ['evict', it.layer])).out).toBe('1 contents, 293 KiB, were removed\n');
    expect((await at(it.house, ['evict', `${REGISTRY}/${APP}`])).out).toContain('2 contents');
    expect((await at(it.house, ['evict', '--all', '--yes', '--json'])).json()).toEqual([{ blobs: 0, bytes: 0 }]);
  });

  test('verify tells that all is well', async () => {
    await using it = await filled();
    const { code, out } = await at(it.house, ['verify']);
    expect([code, out]).toEqual([0, expect.stringMatching(/^3 contents, 293\.\d KiB, of which 0 not good\n$/)]);
  });
});
