import { type Secret, authorize } from './containerd-auth.ts';
import { type Pulled, type PullOptions, pull, urlOf } from './house-client.ts';
import { ask } from './origin-client.ts';

/**
 * The Authorization with which containerd comes back to a mirror that has challenged it; undefined when the mirror does
 * not challenge, or the challenge leads to nothing.
 */
export async function login(options: PullOptions, secret?: Secret): Promise<string | undefined> {
  const { status, headers } = await ask(urlOf(options, 'manifests', options.reference), { method: 'HEAD' });
  if (status !== 401) return undefined;
  return (await authorize(headers['www-authenticate'], options.repository, secret)).authorization;
}

/** Pulls as containerd does with a pull secret: bare first, then with what the challenge leads to. @throws as `pull` */
export async function pullAs(options: PullOptions, secret?: Secret): Promise<Pulled> {
  return await pull({ ...options, authorization: await login(options, secret) });
}
