import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ConfigError, Problems } from '../../service/env.ts';
import { checkTlsFiles, readTlsFiles, rereadTlsFiles } from '../../service/tls-files.ts';
import { CertificateVolume, TestCa } from '../support/certificates.ts';
import { tmpDir } from '../support/tmp-dir.ts';

const ca = new TestCa();
const [one, other] = [ca.issue({ names: ['one.test'] }), ca.issue({ names: ['other.test'] })];

async function volumeWith(contents: { cert?: string; key?: string; ca?: string }) {
  const directory = await tmpDir();
  const volume = await new CertificateVolume(directory.path).write(contents);
  const { certFile, keyFile, caFile } = volume;
  return { certFile, keyFile, caFile, [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose]() };
}

describe('readTlsFiles', () => {
  test('reads what fits together, and when it ends', async () => {
    await using files = await volumeWith({ ...one, ca: ca.pem });
    const contents = readTlsFiles(files);
    expect(contents).toEqual({
      cert: Buffer.from(one.cert),
      key: Buffer.from(one.key),
      ca: Buffer.from(ca.pem),
      endsAtMs: one.endsAtMs,
    });
    expect(await rereadTlsFiles(files)).toEqual(contents);
    expect(readTlsFiles({ caFile: files.caFile })).toMatchObject({ cert: undefined, endsAtMs: undefined });
  });

  test.each([
    [
      'a key of another certificate',
      { cert: one.cert, key: other.key, ca: ca.pem },
      /tls\.key does not belong to .*tls\.crt/,
    ],
    ['a certificate that is none', { cert: 'nonsense', key: one.key, ca: ca.pem }, /tls\.crt is no certificate/],
    ['half a certificate', { cert: one.cert.slice(0, 300), key: one.key, ca: ca.pem }, /tls\.crt is no certificate/],
    [
      'a chain whose second part is broken',
      { cert: `${one.cert}${one.cert.slice(0, 300)}`, key: one.key, ca: ca.pem },
      /tls\.crt is not accepted/,
    ],
    ['a key that is none', { cert: one.cert, key: 'nonsense', ca: ca.pem }, /tls\.key is no private key/],
    ['an empty CA file', { ...one, ca: '' }, /ca\.crt has no certificate/],
    [
      'a CA file with a broken certificate behind a good one',
      { ...one, ca: `${ca.pem}${ca.pem.replace('MII', 'AAA')}` },
      /ca\.crt has a broken certificate/,
    ],
  ])('refuses %s, and names the file', async (_name, contents, message) => {
    await using files = await volumeWith(contents);
    expect(() => readTlsFiles(files)).toThrow(message);
    await expect(rereadTlsFiles(files)).rejects.toThrow(message);
  });

  test('says which file is not there', async () => {
    await using files = await volumeWith({ ...one, ca: ca.pem });
    expect(() => readTlsFiles({ ...files, keyFile: '/no/such/key' })).toThrow('/no/such/key');
  });
});

function problemsOf(certFile?: string, keyFile?: string, caFile?: string): readonly string[] {
  const problems = new Problems();
  checkTlsFiles({ cert: ['CERT', certFile], key: ['KEY', keyFile], ca: ['CA', caFile] }, problems);
  try {
    problems.throwIfAny();
    return [];
  } catch (error) {
    return error instanceof ConfigError ? error.problems : [String(error)];
  }
}

describe('checkTlsFiles', () => {
  test('finds nothing wrong with what is whole, or absent', async () => {
    await using files = await volumeWith({ ...one, ca: ca.pem });
    expect(problemsOf(files.certFile, files.keyFile, files.caFile)).toEqual([]);
    expect(problemsOf()).toEqual([]);
  });

  test('wants certificate and key together', async () => {
    await using files = await volumeWith({ ...one, ca: ca.pem });
    expect(problemsOf(files.certFile)).toEqual(['KEY: expected, because CERT is set']);
    expect(problemsOf(undefined, files.keyFile)).toEqual(['CERT: expected, because KEY is set']);
  });

  test('tells of each file that cannot be used, and of a pair that does not fit', async () => {
    await using files = await volumeWith({ cert: one.cert, key: other.key, ca: ca.pem });
    expect(problemsOf('/no/cert', '/no/key', '/no/ca').map((line) => line.slice(0, 4))).toEqual([
      'CERT',
      'KEY:',
      'CA: ',
    ]);
    expect(problemsOf(files.certFile, files.keyFile)).toEqual([expect.stringMatching(/^KEY: .*does not belong/)]);
  });
});

test('a file is read through links', async () => {
  await using directory = await tmpDir();
  const plain = join(directory.path, 'plain.pem');
  await writeFile(plain, ca.pem);
  expect(readTlsFiles({ caFile: plain }).ca?.toString()).toBe(ca.pem);
});
