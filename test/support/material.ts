import type { TlsContents } from '../../service/tls-files.ts';
import { TlsMaterial } from '../../service/tls-material.ts';
import { CertificateVolume } from './certificates.ts';
import { tmpDir } from './tmp-dir.ts';

/** What the files of a material have, as PEM. */
export interface Pem {
  readonly cert?: string;
  readonly key?: string;
  readonly ca?: string;
}

/** A material over files of a test's own. */
export class TestMaterial implements AsyncDisposable {
  readonly material: TlsMaterial;
  readonly #volume: CertificateVolume;
  readonly #remove: () => PromiseLike<void>;

  constructor(volume: CertificateVolume, has: Pem, remove: () => PromiseLike<void>) {
    this.#volume = volume;
    this.#remove = remove;
    this.material = new TlsMaterial(
      {
        certFile: has.cert === undefined ? undefined : volume.certFile,
        keyFile: has.key === undefined ? undefined : volume.keyFile,
        caFile: has.ca === undefined ? undefined : volume.caFile,
      },
      { events: { loaded: () => undefined, kept: () => undefined, ended: () => undefined }, intervalMs: 3_600_000 },
    );
  }

  get contents(): TlsContents {
    return this.material.contents;
  }

  /** Exchanges the files, and has them read. */
  async rotate(pem: Pem): Promise<void> {
    await this.#volume.write(pem);
    await this.material.check();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.material[Symbol.dispose]();
    await this.#remove();
  }
}

/** Makes one: `await using tls = await testMaterial({ ...ca.issue({ names: ['tier.test'] }) })`. */
export async function testMaterial(pem: Pem): Promise<TestMaterial> {
  const directory = await tmpDir();
  const volume = await new CertificateVolume(directory.path).write(pem);
  return new TestMaterial(volume, pem, () => directory[Symbol.asyncDispose]());
}
