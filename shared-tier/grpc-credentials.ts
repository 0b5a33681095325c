import { ServerCredentials } from '@grpc/grpc-js';
import { MIN_TLS, type TlsMaterial } from '../service/tls-material.ts';

/**
 * TLS of the gRPC server that follows its files: connections that begin after a change get the new certificate, old
 * ones go on. Client certificates, if they are asked for, are judged per call and not in the handshake: health needs
 * none, and the others get a refusal that says what to do.
 */
export class FollowingServerCredentials extends ServerCredentials implements Disposable {
  readonly #following: Disposable;

  constructor(material: TlsMaterial, { asksForCertificate }: { asksForCertificate: boolean }) {
    const context = () => {
      const { cert, key, ca } = material.contents;
      return { cert, key, minVersion: MIN_TLS, ...(asksForCertificate && { ca }) } as const;
    };
    super({ requestCert: asksForCertificate, rejectUnauthorized: false, minVersion: MIN_TLS }, context());
    this.#following = material.onChange(() => this.updateSecureContextOptions(context()));
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }

  [Symbol.dispose](): void {
    this.#following[Symbol.dispose]();
  }
}
