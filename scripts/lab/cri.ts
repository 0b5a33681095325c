import { fileURLToPath } from 'node:url';
import { type Client, credentials, loadPackageDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

/** What a pod's imagePullSecret becomes. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
  /** URL of the only server that containerd shows them to. kubelet never says it. */
  readonly serverAddress?: string;
}

export interface CriImage {
  /** Digest of its configuration. */
  readonly id: string;
  readonly repoTags: readonly string[];
  /** name@digest, with the digest of the index or manifest that was pulled. */
  readonly repoDigests: readonly string[];
}

type Call<Request, Answer> = (
  request: Request,
  options: { deadline: number },
  callback: (error: Error | null, answer?: Answer) => void,
) => void;

interface ImageService extends Client {
  readonly listImages: Call<object, { images: CriImage[] }>;
  readonly pullImage: Call<{ image: { image: string }; auth?: Credentials }, { imageRef: string }>;
  readonly removeImage: Call<{ image: { image: string } }, object>;
}

type Services = Readonly<
  Record<
    'runtime',
    Record<'v1', Record<'ImageService', new (...args: ConstructorParameters<typeof Client>) => ImageService>>
  >
>;

/** Bound of one call; a pull is one. */
const CALL_MS = 240_000;

/** The images of a container runtime as kubelet sees them: https://github.com/kubernetes/cri-api */
export class Cri implements Disposable {
  readonly #client: ImageService;

  /** @param socket path of the runtime's socket; it is reached from any network namespace */
  constructor(socket: string) {
    const definition = loadSync(fileURLToPath(new URL('cri.proto', import.meta.url)), { defaults: true });
    const { runtime } = loadPackageDefinition(definition) as unknown as Services;
    this.#client = new runtime.v1.ImageService(`unix://${socket}`, credentials.createInsecure());
  }

  /** @throws what the runtime answers, credentials left out */
  async pull(reference: string, auth?: Credentials): Promise<void> {
    const request = { image: { image: reference }, ...(auth && { auth }) };
    await ask(this.#client.pullImage.bind(this.#client), request);
  }

  async images(): Promise<readonly CriImage[]> {
    return (await ask(this.#client.listImages.bind(this.#client), {})).images;
  }

  async remove(reference: string): Promise<void> {
    await ask(this.#client.removeImage.bind(this.#client), { image: { image: reference } });
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

async function ask<Request, Answer>(call: Call<Request, Answer>, request: Request): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  call(request, { deadline: Date.now() + CALL_MS }, (error, answer) => {
    if (error || answer === undefined) reject(error ?? new Error('no answer'));
    else resolve(answer);
  });
  return await promise;
}
