import { describe, expect, test } from 'vitest';
import { TlsMaterial } from '../../service/tls-material.ts';
import { CertificateVolume, TestCa } from '../support/certificates.ts';
import { tmpDir } from '../support/tmp-dir.ts';

const ca = new TestCa();
const [one, other] = [ca.issue({ names: ['one.test'] }), ca.issue({ names: ['other.test'] })];
const ended = ca.issue({ names: ['ended.test'], validForMs: -1_000 });

/** A material over a volume, and what it said. Its own timer is slow, so a test says when it looks. */
async function materialOf(contents: { cert: string; key: string }, intervalMs = 3_600_000) {
  const stack = new AsyncDisposableStack();
  const directory = stack.use(await tmpDir());
  const volume = await new CertificateVolume(directory.path).write({ ...contents, ca: ca.pem });
  const said: string[] = [];
  const { certFile, keyFile, caFile } = volume;
  const material = stack.use(
    new TlsMaterial(
      { certFile, keyFile, caFile },
      {
        intervalMs,
        events: {
          loaded: () => said.push('loaded'),
          kept: (error) => said.push(`kept: ${String(error)}`),
          ended: () => said.push('ended'),
        },
      },
    ),
  );
  return { volume, material, said, [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose]() };
}

describe('TlsMaterial', () => {
  test('takes a rotated volume by itself', async () => {
    await using it = await materialOf(one, 20);
    const changed = Promise.withResolvers<void>();
    it.material.onChange(() => changed.resolve());
    await it.volume.write({ ...other, ca: ca.pem });
    await changed.promise;
    expect(it.material.contents.cert?.toString()).toBe(other.cert);
    expect(it.said).toEqual(['loaded', 'loaded']);
  });

  test('has a new context after a change, and the same one before', async () => {
    await using it = await materialOf(one);
    const { context } = it.material;
    await it.material.check();
    expect(it.material.context).toBe(context);
    await it.volume.write({ ...other, ca: ca.pem });
    await it.material.check();
    expect(it.material.context).not.toBe(context);
  });

  test('sees a change of the CA alone', async () => {
    await using it = await materialOf(one);
    const next = new TestCa('the next CA');
    await it.volume.write({ ...one, ca: `${ca.pem}${next.pem}` });
    await it.material.check();
    expect(it.material.contents.ca?.toString()).toContain(next.pem);
  });

  test.each([
    ['nonsense', { cert: 'nonsense', key: 'nonsense', ca: ca.pem }],
    ['empty files', {}],
    ['a key of another certificate', { cert: other.cert, key: one.key, ca: ca.pem }],
    ['a certificate that has ended', { ...ended, ca: ca.pem }],
  ])(
    'keeps what it has when the files become %s, says so once, and goes on when they are mended',
    async (_name, bad) => {
      await using it = await materialOf(one);
      let changes = 0;
      it.material.onChange(() => (changes += 1));
      await it.volume.write(bad);
      for (let look = 0; look < 4; look += 1) await it.material.check();
      expect(it.material.contents.cert?.toString()).toBe(one.cert);
      expect(it.said).toEqual(['loaded', expect.stringMatching(/^kept: /)]);
      expect(changes).toBe(0);
      await it.volume.write({ ...other, ca: ca.pem });
      await it.material.check();
      expect([it.material.contents.cert?.toString(), changes]).toEqual([other.cert, 1]);
    },
  );

  test('says nothing of files that do not fit each other for one look', async () => {
    await using it = await materialOf(one);
    await it.volume.write({ cert: other.cert, key: one.key, ca: ca.pem });
    await it.material.check();
    await it.volume.write({ ...other, ca: ca.pem });
    await it.material.check();
    expect(it.said).toEqual(['loaded', 'loaded']);
  });

  test('starts with a certificate that has ended, says so once, and takes the next', async () => {
    await using it = await materialOf(ended);
    await it.material.check();
    await it.material.check();
    expect(it.said).toEqual(['loaded', 'ended']);
    await it.volume.write({ ...one, ca: ca.pem });
    await it.material.check();
    expect(it.said).toEqual(['loaded', 'ended', 'loaded']);
  });

  test('calls nobody who has left', async () => {
    await using it = await materialOf(one);
    let changes = 0;
    const following = it.material.onChange(() => (changes += 1));
    following[Symbol.dispose]();
    await it.volume.write({ ...other, ca: ca.pem });
    await it.material.check();
    expect(changes).toBe(0);
  });
});
