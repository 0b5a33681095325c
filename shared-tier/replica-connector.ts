import { X509Certificate } from 'node:crypto';
import { type PeerCertificate, checkServerIdentity } from 'node:tls';
import { buildConnector } from 'undici';
import { MIN_TLS, type TlsMaterial } from '../service/tls-material.ts';

/** To a connection, the handshake included. */
const CONNECT_MS = 2_000;

/**
 * Connects to other replicas; with TLS only to who has a certificate for a name that our own has too. All replicas serve
 * the same names, and nobody's certificate has a pod's address.
 */
export function replicaConnector(material: TlsMaterial | undefined): buildConnector.connector {
  if (!material) return buildConnector({ timeout: CONNECT_MS, allowH2: false });
  let made: buildConnector.connector | undefined;
  material.onChange(() => (made = undefined));
  return (options, callback) => {
    made ??= secureConnector(material);
    made(options, callback);
  };
}

function secureConnector({ contents: { cert, ca } }: TlsMaterial): buildConnector.connector {
  const names = cert ? namesIn(cert) : [];
  return buildConnector({
    timeout: CONNECT_MS,
    allowH2: false,
    minVersion: MIN_TLS,
    ...(ca && { ca }),
    ...(names[0] !== undefined && { servername: names[0] }),
    checkServerIdentity: (_host: string, certificate: PeerCertificate) => {
      const isReplica = names.some((name) => checkServerIdentity(name, certificate) === undefined);
      return isReplica ? undefined : new Error('its certificate has none of the names that our own has');
    },
  });
}

/** Wildcards name nobody in particular. */
function namesIn(cert: Buffer): string[] {
  const names = new X509Certificate(cert).subjectAltName ?? '';
  return [...names.matchAll(/DNS:([^\s,"*]+)/g)].map(([, name = '']) => name);
}
