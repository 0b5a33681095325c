import { describe, expect, test } from 'vitest';
import { parametersOf } from '../containerd-auth.ts';
import { REGISTRIES } from './all.ts';
import { MISSING, OTHER, PRIVATE, PUBLIC, follow, knock, stocked } from './fixtures.ts';
import type { RegistryKind } from './registry.ts';

/** What a client meets that does as containerd does: statuses of the bare request, of the tokens', of the second one. */
interface Ways {
  /** For a public image, without a secret. */
  readonly open: string;
  /** The same, of images that are closed to everybody without a secret. */
  readonly closed?: string;
  /** With a secret, for the image that it opens. */
  readonly own?: string;
  /** With a secret, for an image that it does not open. */
  readonly foreign?: string;
  /** Without a secret, for a repository that is not there. */
  readonly missing: string;
  /** HEAD of a blob, and of where that leads; GET likewise. */
  readonly headBlob: string;
  readonly getBlob: string;
  /** What the challenge names besides the realm. */
  readonly challenge: { readonly service?: string; readonly scope?: string };
}

const scope = `repository:${PUBLIC}:pull`;
const WAYS: Record<string, Ways> = {
  'docker.io': {
    open: '401, GET 200, 200',
    closed: '401, GET 200, 401 insufficient_scope',
    own: '401, POST 200, 200',
    foreign: '401, POST 200, 401 insufficient_scope',
    missing: '401, GET 200, 401 insufficient_scope',
    headBlob: '307, 200',
    getBlob: '307, 200',
    challenge: { service: 'registry.docker.io', scope },
  },
  'ghcr.io': {
    open: '401, GET 200, 200',
    closed: '401, GET 403',
    own: '401, POST 404, GET 200, 200',
    foreign: '401, POST 404, GET 403',
    missing: '401, GET 403',
    headBlob: '307, 403',
    getBlob: '307, 200',
    challenge: { service: 'ghcr.io', scope },
  },
  'quay.io': {
    open: '401, GET 200, 200',
    closed: '401, GET 200, 401',
    own: '401, POST 404, GET 200, 200',
    foreign: '401, POST 404, GET 200, 401',
    missing: '401, GET 200, 401',
    headBlob: '200',
    getBlob: '302, 200',
    challenge: { service: 'quay.io', scope },
  },
  '123456789012.dkr.ecr.eu-central-1.amazonaws.com': {
    open: '401', // nothing is public
    closed: '401',
    own: '401, 200',
    foreign: '401, 403',
    missing: '404',
    headBlob: '401',
    getBlob: '401',
    challenge: { service: 'ecr.amazonaws.com' },
  },
  'public.ecr.aws': {
    open: '401, GET 200, 200',
    missing: '401, GET 200, 404',
    headBlob: '401',
    getBlob: '307, 200',
    challenge: { service: 'public.ecr.aws', scope: 'aws' },
  },
  'europe-docker.pkg.dev': {
    open: '401, GET 200, 200',
    closed: '401, GET 403',
    own: '401, POST 404, GET 200, 200',
    foreign: '401, POST 404, GET 403',
    missing: '401, GET 403',
    headBlob: '200',
    getBlob: '200',
    challenge: { service: 'europe-docker.pkg.dev', scope },
  },
  'registry.gitlab.com': {
    open: '401, GET 200, 200',
    closed: '401, GET 200, 401 insufficient_scope',
    own: '401, POST 404, GET 200, 200',
    foreign: '401, POST 404, GET 200, 401 insufficient_scope',
    missing: '401, GET 200, 401 insufficient_scope',
    headBlob: '307, 403',
    getBlob: '307, 200',
    challenge: { service: 'container_registry', scope },
  },
  'harbor.test': {
    open: '401, GET 200, 200',
    closed: '401, GET 200, 401',
    own: '401, POST 405, GET 200, 200',
    foreign: '401, POST 405, GET 200, 401',
    missing: '401, GET 200, 404',
    headBlob: '200',
    getBlob: '200',
    challenge: { service: 'harbor-registry', scope },
  },
  'nvcr.io': {
    open: '401, GET 200, 200',
    closed: '401, GET 200, 401 insufficient_scope',
    own: '401, POST 404, GET 200, 200',
    foreign: '401, POST 404, GET 200, 401 insufficient_scope',
    missing: '401, GET 200, 401 insufficient_scope',
    headBlob: '200',
    getBlob: '200',
    challenge: { scope },
  },
  'registry.k8s.io': { open: '307', missing: '307', headBlob: '307, 200', getBlob: '307, 200', challenge: {} },
  'mcr.microsoft.com': { open: '200', missing: '404', headBlob: '307, 200', getBlob: '307, 200', challenge: {} },
  'team.azurecr.io': {
    open: '401, GET 200, 200',
    closed: '401, GET 200, 401 insufficient_scope',
    own: '401, POST 400, GET 200, 200',
    foreign: '401, POST 400, GET 200, 401 insufficient_scope',
    missing: '401, GET 200, 401 insufficient_scope',
    headBlob: '200',
    getBlob: '307, 200',
    challenge: { service: 'team.azurecr.io', scope },
  },
};

const all = REGISTRIES.map((kind) => [kind.name, kind] as const);

/** How `knock` went, as the table has it. */
async function way(kind: RegistryKind, repository: string, withSecret: boolean): Promise<string> {
  await using it = await stocked(kind);
  const { bare, tokens, authorization, answer } = await knock(it, repository, withSecret ? { secret: it.secret } : {});
  const { error } = parametersOf(answer.headers['www-authenticate'] ?? '');
  const second = authorization === undefined ? [] : [error === undefined ? answer.status : `${answer.status} ${error}`];
  return [bare.status, ...tokens, ...second].join(', ');
}

async function blobWay(kind: RegistryKind, method: 'GET' | 'HEAD'): Promise<string> {
  await using it = await stocked(kind);
  const { answer } = await knock(it, PUBLIC, { method, path: `blobs/${it.layer}` });
  const isRedirect = answer.status === 302 || answer.status === 307;
  return [answer.status, ...(isRedirect ? [(await follow(answer, method)).status] : [])].join(', ');
}

test('the ways of every registry are told here', () => {
  expect(all.map(([name]) => name).toSorted()).toEqual(Object.keys(WAYS).toSorted());
});

describe.each(all)('%s', (name, kind) => {
  const ways = WAYS[name];

  test('answers anonymous requests as the registry does', async () => {
    expect(await way(kind, PUBLIC, false)).toBe(ways?.open);
    expect(await way(kind, MISSING, false)).toBe(ways?.missing);
  });

  test('answers HEAD and GET of a blob as the registry does', async () => {
    expect(await blobWay(kind, 'HEAD')).toBe(ways?.headBlob);
    expect(await blobWay(kind, 'GET')).toBe(ways?.getBlob);
  });

  test('names in its challenge what the registry names', async () => {
    await using it = await stocked(kind);
    const { bare } = await knock(it, PUBLIC);
    const { realm: _realm, ...challenge } = parametersOf(bare.headers['www-authenticate'] ?? '');
    expect(challenge).toEqual(ways?.challenge);
  });
});

describe.each(all.filter(([, { user }]) => user !== undefined))('%s with private images', (name, kind) => {
  const ways = WAYS[name];

  test('opens them to who may read them, and to nobody else', async () => {
    expect(await way(kind, PRIVATE, false)).toBe(ways?.closed);
    expect(await way(kind, PRIVATE, true)).toBe(ways?.own);
    expect(await way(kind, OTHER, true)).toBe(ways?.foreign);
  });
});
