/**
 * A registry's token service, as a process of its own in the namespace where it is to be found. It knows one user, who
 * may pull everything; who has no name may pull what is open. The argument is a `TokenService` as JSON; each request is
 * a line of JSON on standard output, a `TokenRequest`.
 *
 * @see https://distribution.github.io/distribution/spec/auth/token/ and `jwt/`, `oauth/` beside it
 */
import { createPrivateKey, randomUUID, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import { text } from 'node:stream/consumers';

export interface TokenService {
  readonly port: number;
  readonly issuer: string;
  readonly service: string;
  /** PEM of an EC key on P-256; its public half is in the registry's JWKS under `keyId`. */
  readonly keyFile: string;
  readonly keyId: string;
  readonly user: { readonly name: string; readonly password: string };
  /** Repositories that anybody may pull from. */
  readonly open: readonly string[];
}

export interface TokenRequest {
  readonly client: string;
  readonly method: string;
  /** Undefined: it came without a secret. */
  readonly user?: string;
  readonly status: number;
  readonly scopes: readonly string[];
}

interface Asked {
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly scopes: readonly string[];
}

const LIFE_S = 300;

const task = JSON.parse(process.argv[2] ?? '') as TokenService;
const key = createPrivateKey(readFileSync(task.keyFile));

createServer((request, response) => void answer(request, response)).listen(task.port, '0.0.0.0');

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const asked = await read(request);
  const isKnown = asked.user === task.user.name && asked.password === task.user.password;
  const status = asked.user === undefined || isKnown ? 200 : 401;
  const body = status === 200 ? tokenFor(asked, isKnown) : { errors: [{ code: 'UNAUTHORIZED', message: 'no' }] };
  const { user, scopes } = asked;
  const client = (request.socket.remoteAddress ?? '').replace(/^::ffff:/, '');
  const line = { client, method: request.method ?? '', ...(user !== undefined && { user }), status, scopes };
  process.stdout.write(`${JSON.stringify(line)}\n`);
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

async function read(request: IncomingMessage): Promise<Asked> {
  if (request.method === 'POST') {
    const form = new URLSearchParams(await text(request));
    const scopes = (form.get('scope') ?? '').split(' ');
    return { user: form.get('username') ?? '', password: form.get('password') ?? '', scopes };
  }
  const { searchParams } = new URL(request.url ?? '/', 'http://localhost');
  const [, encoded = ''] = /^Basic (.+)$/.exec(request.headers.authorization ?? '') ?? [];
  const [user, password] = Buffer.from(encoded, 'base64').toString().split(':');
  const scopes = searchParams.getAll('scope').flatMap((scope) => scope.split(' '));
  return encoded === '' ? { user: undefined, password: undefined, scopes } : { user, password, scopes };
}

function tokenFor({ user = '', scopes }: Asked, isKnown: boolean): object {
  const access = scopes.flatMap((scope) => {
    const [, name = '', actions = ''] = /^repository:(.+):([^:]*)$/.exec(scope) ?? [];
    const isAllowed = actions.split(',').includes('pull') && (isKnown || task.open.includes(name));
    return isAllowed ? [{ type: 'repository', name, actions: ['pull'] }] : [];
  });
  const now = Math.floor(Date.now() / 1000);
  const times = { iat: now, nbf: now - 1, exp: now + LIFE_S };
  const claims = { iss: task.issuer, sub: user, aud: task.service, jti: randomUUID(), ...times, access };
  const signed = [{ typ: 'JWT', alg: 'ES256', kid: task.keyId }, claims].map((part) =>
    Buffer.from(JSON.stringify(part)).toString('base64url'),
  );
  const message = signed.join('.');
  const signature = sign('sha256', Buffer.from(message), { key, dsaEncoding: 'ieee-p1363' });
  const token = `${message}.${signature.toString('base64url')}`;
  return { token, access_token: token, expires_in: LIFE_S };
}
