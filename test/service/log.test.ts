import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { generatedBlob } from '../support/blobs.ts';
import { download } from '../support/house-client.ts';
import { Program } from '../support/house-process.ts';
import { startHouse } from '../support/house.ts';
import { ask } from '../support/origin-client.ts';
import { tmpDir } from '../support/tmp-dir.ts';

describe('the log', () => {
  test('has one line for each request, with its outcome, and names no secret', async () => {
    await using house = await startHouse();
    const { digest } = await house.origin.addBlob('org/app', generatedBlob(1000));
    const headers = { authorization: 'Bearer s3cr3t', cookie: 's3cr3t', 'x-token': 's3cr3t' };
    const first = await download(house.url('blobs', 'org/app', digest), { headers });
    expect(first).toMatchObject({ status: 200, digest });
    await ask(house.url('manifests', 'org/app', 'absent'), { headers });
    await ask(`${house.mirror}/v2/org/app/manifests/v1?ns=user:s3cr3t@host.test&token=s3cr3t`, { headers });
    await ask(`${house.mirror}/v2/s3cr3t%zz/manifests/v1`, { headers });
    const requests = () => house.log.filter(({ part, msg }) => part === 'agent' && msg === 'request');
    await expect
      .poll(() => requests().map(({ outcome, status }) => `${String(outcome)} ${String(status)}`))
      .toEqual(['origin 200', 'denied 404', 'error 400', 'error 400']);
    expect(JSON.stringify(house.log)).not.toContain('s3cr3t');
    // A signed read is a right to read: who sees the log must not get it.
    expect(JSON.stringify(house.log)).not.toContain('/circ/v1/read/');
  });

  test('is JSON lines on standard output, at the level that was set, whole also at the end', async () => {
    await using directory = await tmpDir();
    const env = {
      CIRC_AGENT_LISTEN: '127.0.0.1:0',
      CIRC_AGENT_STATUS_LISTEN: '127.0.0.1:0',
      CIRC_AGENT_CACHE_DIR: directory.path,
      CIRC_LOG_LEVEL: 'debug',
    };
    await using program = new Program('agent/main.ts', { env });
    const { mirror = '' } = await program.listening();
    for (let time = 1; time <= 100; time += 1) await ask(`http://${mirror}/v2/`);
    program.kill('SIGTERM');
    const { stdout } = await program.exited();
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines.filter(({ msg }) => msg === 'request')).toHaveLength(100);
    expect(lines.at(-1)).toMatchObject({ program: 'circ-agent', msg: 'stopping', signal: 'SIGTERM' });
  });

  test('does not hold the end up when nobody reads it', async () => {
    await using directory = await tmpDir();
    const path = join(directory.path, 'marker');
    await writeFile(path, 'x');
    const env = { CIRC_AGENT_LISTEN: '127.0.0.1:0', CIRC_AGENT_STATUS_LISTEN: '127.0.0.1:0', CIRC_LOG_LEVEL: 'silent' };
    await using program = new Program('agent/main.ts', { env: { ...env, CIRC_AGENT_CACHE_DIR: path } });
    expect(await program.exited()).toMatchObject({ code: 1, stdout: '' });
    expect(await readFile(path, 'utf8')).toBe('x');
  });
});
