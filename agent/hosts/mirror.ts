import { type Address, formatAddress } from '../../service/units.ts';
import type { TlsFiles } from '../../service/tls-files.ts';

/** What containerd is to know of this agent. */
export interface Mirror {
  /** `http://127.0.0.1:5050`, or https when the agent has a certificate. */
  readonly url: string;
  /**
   * With https: the file with the agent's certificate, as hosts.toml names it. It must exist: containerd fails pulls
   * altogether, and does not go on to the registry, when it cannot read a file that is named here.
   */
  readonly caFile?: string;
}

const ANY_ADDRESS: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

/** The URL under which containerd on the same machine reaches what listens here. */
export function mirrorUrl(listen: Address, scheme: 'http' | 'https' = 'http'): string {
  return `${scheme}://${formatAddress({ ...listen, host: ANY_ADDRESS[listen.host] ?? listen.host })}`;
}

/**
 * The mirror endpoint as containerd is told of it. With https, what containerd is to trust is the copy of the agent's
 * certificate beside the registries' directories (`publishCertificate`), named from one of them: the agent in its pod may
 * see the directory under another path. (containerd 1.6 to 2.4 join `ca` to the path of the hosts.toml's directory
 * without following links: `makeAbsPath` in its remotes/docker/config/hosts.go.)
 */
export function mirrorAt(listen: Address, { certFile }: Pick<TlsFiles, 'certFile'>): Mirror {
  if (certFile === undefined) return { url: mirrorUrl(listen) };
  const url = mirrorUrl(listen, 'https');
  return { url, caFile: `../${certificateName(url)}` };
}

/** What the copy of the certificate is called. No registry's name begins with a dot, so it is never taken for one's. */
export function certificateName(url: string): string {
  return `.circ-${authorityOf(url)}.pem`;
}

/**
 * The table of hosts.toml, line by line. `dial_timeout` also bounds the way to a token realm; `referrers` is missing
 * because containerd up to 2.1 refuses a file with it: https://github.com/containerd/containerd/blob/main/docs/hosts.md
 */
export function mirrorLines({ url, caFile }: Mirror): string[] {
  const ca = caFile === undefined ? [] : [`  ca = ${JSON.stringify(caFile)}`];
  return [`[host."${url}"]`, '  capabilities = ["pull", "resolve"]', '  dial_timeout = "5s"', ...ca];
}

/** `127.0.0.1:5050` of `http://127.0.0.1:5050`. One agent at most listens there, whatever it speaks. */
export function authorityOf(url: string): string {
  return /^(?:https?:\/\/)?([^/]*)/.exec(url)?.[1]?.toLowerCase() ?? '';
}

/** Do two keys of `[host."…"]` mean the same server? containerd adds what is missing: `https://`, and `/v2`. */
export function isSameHost(one: string, other: string): boolean {
  return canonical(one) === canonical(other);
}

function canonical(key: string): string {
  const text = key.startsWith('http') ? key : `https://${key}`;
  if (!URL.canParse(text)) return key;
  const { protocol, host, pathname } = new URL(text);
  return `${protocol}//${host}${pathname.replace(/\/+$/, '').replace(/\/v2$/, '')}`;
}
