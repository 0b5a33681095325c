import { isIP } from 'node:net';
import { checkServerIdentity } from 'node:tls';
import {
  type ChannelCredentials,
  type ChannelOptions,
  Metadata,
  credentials as grpcCredentials,
  experimental,
} from '@grpc/grpc-js';
import { AGENT_TOKEN } from '../proto/agent-token.ts';
import type { TlsMaterial } from '../service/tls-material.ts';
import type { TokenFile } from './token-file.ts';

/** How the agent knows the shared tier for what it is, and shows what it is itself. */
export interface TierCredentials {
  readonly channel: ChannelCredentials;
  readonly channelOptions: ChannelOptions;
  /** What goes along with a question. @throws OciError UNAVAILABLE when it cannot be had */
  metadata(): Promise<Metadata>;
}

/** Neither TLS nor identity. */
export const NO_CREDENTIALS: TierCredentials = {
  channel: grpcCredentials.createInsecure(),
  channelOptions: {},
  metadata: () => Promise.resolve(new Metadata()),
};

export interface TierCredentialsOptions {
  /** What is trusted, and our own certificate if we have one; undefined: no TLS. */
  readonly material: TlsMaterial | undefined;
  /** Whose certificate is expected, whatever address is dialled. */
  readonly serviceName: string;
  readonly token: TokenFile | undefined;
}

/** SNI of a service that is known by an address: there must be some name, and addresses are not allowed. */
const NO_NAME = 'circ.invalid';

/** Those of a configured agent. May be used for any number of clients. */
export function tierCredentials({ material, serviceName, token }: TierCredentialsOptions): TierCredentials {
  const metadata = async (): Promise<Metadata> => {
    const made = new Metadata();
    if (token) made.set(AGENT_TOKEN, await token.current());
    return made;
  };
  if (!material) return { ...NO_CREDENTIALS, metadata };
  const provider = new FollowingCertificates(material);
  const channel = experimental.createCertificateProviderChannelCredentials(
    provider,
    material.contents.cert ? provider : null,
    { checkServerIdentity: (_dialled, certificate) => checkServerIdentity(serviceName, certificate) },
  );
  const channelOptions = { 'grpc.ssl_target_name_override': isIP(serviceName) === 0 ? serviceName : NO_NAME };
  return { channel, channelOptions, metadata };
}

/** What gRPC uses for connections that begin after a change of the files. */
class FollowingCertificates implements experimental.CertificateProvider {
  readonly #material: TlsMaterial;
  readonly #following = new Map<unknown, Disposable>();

  constructor(material: TlsMaterial) {
    this.#material = material;
  }

  addCaCertificateListener(listener: experimental.CaCertificateUpdateListener): void {
    this.#follow(listener, () => {
      const { ca } = this.#material.contents;
      listener(ca ? { caCertificate: ca } : null);
    });
  }

  addIdentityCertificateListener(listener: experimental.IdentityCertificateUpdateListener): void {
    this.#follow(listener, () => {
      const { cert, key } = this.#material.contents;
      listener(cert && key ? { certificate: cert, privateKey: key } : null);
    });
  }

  removeCaCertificateListener(listener: experimental.CaCertificateUpdateListener): void {
    this.#unfollow(listener);
  }

  removeIdentityCertificateListener(listener: experimental.IdentityCertificateUpdateListener): void {
    this.#unfollow(listener);
  }

  #follow(listener: unknown, tell: () => void): void {
    this.#following.set(listener, this.#material.onChange(tell));
    process.nextTick(tell);
  }

  #unfollow(listener: unknown): void {
    this.#following.get(listener)?.[Symbol.dispose]();
    this.#following.delete(listener);
  }
}
