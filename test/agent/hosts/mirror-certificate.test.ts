import { X509Certificate } from 'node:crypto';
import { chmod, mkdir, readdir, rm, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { mirrorAt } from '../../../agent/hosts/mirror.ts';
import { uninstallHosts } from '../../../agent/hosts/uninstall.ts';
import { TestCa } from '../../support/certificates.ts';
import { type CertsDir, MIRROR, certsDir, withoutPrivileges } from './fixtures.ts';

const HTTPS = mirrorAt({ host: '127.0.0.1', port: 5050 }, { certFile: 'agent.crt' });
const COPY = '.circ-127.0.0.1:5050.pem';
const ca = new TestCa();
const [first, second] = [ca.issue({ ips: ['127.0.0.1'] }).cert, ca.issue({ ips: ['127.0.0.1'] }).cert];

/** A keeper of an agent that shows the certificate of the moment. */
async function keepHttps(certs: CertsDir, shown: { chain: string }) {
  return await certs.keep({ mirror: HTTPS, certificate: () => Buffer.from(shown.chain) });
}

/** What containerd reads as `ca` of a registry: it joins the paths without following links. */
async function trusted(certs: CertsDir, registry: string): Promise<string | undefined> {
  const named = /^ {2}ca = "(.*)"$/m.exec((await certs.read(`${registry}/hosts.toml`)) ?? '')?.[1];
  return named === undefined ? undefined : await certs.read(join(registry, named));
}

test('containerd is given the certificate, without who has signed it, by a path within its own directory', async () => {
  await using certs = await certsDir();
  await mkdir(join(certs.path, 'docker.io'));
  await keepHttps(certs, { chain: first + ca.pem });
  for (const registry of ['_default', 'docker.io']) {
    expect(await certs.read(`${registry}/hosts.toml`)).toContain('[host."https://127.0.0.1:5050"]');
    expect(new X509Certificate((await trusted(certs, registry)) ?? '').toString()).toBe(
      new X509Certificate(first).toString(),
    );
    expect(await trusted(certs, registry)).not.toContain(ca.pem.split('\n')[5]);
  }
  expect(certs.lines(/is given our certificate/)).toEqual([
    expect.objectContaining({ file: join(certs.path, COPY), level: 30 }),
  ]);
});

test('a certificate that is exchanged is given to containerd at once, and one that somebody removes again', async () => {
  await using certs = await certsDir();
  const shown = { chain: first };
  const keeper = await keepHttps(certs, shown);
  const text = await certs.read('_default/hosts.toml');
  shown.chain = second;
  await keeper.refresh();
  expect(await trusted(certs, '_default')).toBe(new X509Certificate(second).toString());
  expect(await certs.read('_default/hosts.toml')).toBe(text);
  await unlink(join(certs.path, COPY));
  await expect.poll(() => trusted(certs, '_default'), { timeout: 10_000 }).toBe(new X509Certificate(second).toString());
});

test('where the certificate cannot be put, no hosts.toml names it: containerd would fail pulls', async () => {
  await using certs = await certsDir();
  await certs.write(`${COPY}/in-its-place`, '');
  await certs.write('docker.io/hosts.toml', 'server = "https://a"\n');
  await keepHttps(certs, { chain: first });
  // Something is there, but nothing that containerd could read.
  expect(await certs.read('docker.io/hosts.toml')).toBe('server = "https://a"\n');
  expect(certs.lines(/cannot be written/)).toHaveLength(1);
});

test('an old certificate that cannot be exchanged stays, and is told', async () => {
  await using certs = await certsDir();
  const shown = { chain: first };
  const keeper = await keepHttps(certs, shown);
  await chmod(dirname(certs.path), 0o755);
  await chmod(certs.path, 0o555);
  shown.chain = second;
  {
    using _ = withoutPrivileges();
    await keeper.refresh();
  }
  await chmod(certs.path, 0o755);
  expect(await trusted(certs, '_default')).toBe(new X509Certificate(first).toString());
  expect(certs.lines(/cannot be written/)).toEqual([
    expect.objectContaining({ files: [join(certs.path, COPY)], code: 'EACCES' }),
  ]);
});

test('--uninstall takes out lines of https as those of http, then the certificate, then what was made', async () => {
  await using certs = await certsDir();
  await certs.write('docker.io/hosts.toml', 'server = "https://a"\n');
  await rm(join(certs.path, '_default'), { recursive: true, force: true });
  const keeper = await keepHttps(certs, { chain: first });
  await keeper[Symbol.asyncDispose]();
  expect(await readdir(certs.path)).toContain(COPY);
  await uninstallHosts(certs.path, MIRROR.url, certs.logger);
  expect(await readdir(certs.path, { recursive: true })).toEqual(['docker.io', 'docker.io/hosts.toml']);
  expect(await certs.read('docker.io/hosts.toml')).toBe('server = "https://a"\n');
});

test('--uninstall removes the directory itself if an agent of https has made it', async () => {
  await using certs = await certsDir();
  await rm(certs.path, { recursive: true });
  const keeper = await keepHttps(certs, { chain: first });
  await keeper[Symbol.asyncDispose]();
  await uninstallHosts(certs.path, HTTPS.url, certs.logger);
  expect(await readdir(dirname(certs.path))).toEqual([]);
});

test('--uninstall leaves the certificate while a file that it could not restore names it', async () => {
  await using certs = await certsDir();
  const path = await certs.write('docker.io/hosts.toml', '# a\n');
  const keeper = await keepHttps(certs, { chain: first });
  await keeper[Symbol.asyncDispose]();
  await chmod(dirname(certs.path), 0o755);
  await chmod(certs.path, 0o777);
  await chmod(dirname(path), 0o555);
  {
    using _ = withoutPrivileges();
    await expect(uninstallHosts(certs.path, HTTPS.url, certs.logger)).rejects.toThrow(path);
  }
  expect(await trusted(certs, 'docker.io')).toBe(new X509Certificate(first).toString());
});
