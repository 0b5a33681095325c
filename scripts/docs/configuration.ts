import { AGENT_VARIABLES } from '../../agent/config.ts';
import { CIRCCTL_VARIABLES } from '../../circctl/config.ts';
import type { Variable } from '../../service/env.ts';
import { listedRegistry, originsFile } from '../../service/origins-file.ts';
import { TIER_VARIABLES } from '../../shared-tier/config.ts';
import { EMBEDDED } from '../embedded.ts';
import { code, markdownTable } from './markdown.ts';

type Described = Readonly<Record<string, readonly [byDefault: string, meaning: string]>>;

/** Keys of the origins file; a test holds that these are all. */
const ORIGINS: Described = {
  default: ['`docker.io`', 'the registry of requests that name none'],
  allow: ['`["*"]`', 'which registries may be reached; globs, `*` is any public host'],
  deny: ['`[]`', 'which may not; globs'],
  denyNetworks: ['`[]`', 'networks that are never dialled, beyond the private, loopback, link-local and reserved ones'],
  proxy: ['unset', 'egress proxy, `http://host:port`'],
  push: ['`listed`', 'which registries may be pushed to: `listed` (those below), `any`, `none`'],
  whenOriginIsDown: [
    '`serve-public`',
    'what is served when a registry cannot be asked: `serve-public` (what anybody could read within the last day), `refuse`',
  ],
  registries: ['`{}`', 'registries by the name that clients use; see below'],
};

/** Keys of an entry under `registries:`. */
const REGISTRY: Described = {
  endpoint: ['`https://NAME`', 'where it is; may be private and plain http, because it is written here'],
  ca: ['the system’s', 'PEM file that is trusted for it'],
  tokenHosts: ['`[]`', 'further hosts (`host` or `host:port`) that a token realm may point at'],
  redirectHosts: ['`[]`', 'private hosts that its redirects may lead to'],
  tagTtl: ['`0s`', 'how long a tag’s digest is believed; `0s`: it is asked at every resolve'],
  maxConnections: ['`16`', 'connections to one of its hosts'],
  credentialsFile: [
    'unset',
    'the operator’s credentials, to fetch with, never to prove access: `{"username", "password"}` or Docker’s config.json',
  ],
  bandwidth: ['unset', 'bound of all downloads from it together, `200MiB/s`'],
};

/** docs/configuration.md */
export function configurationDoc(): string {
  return `# Configuration

Made from the programs' own tables by \`npm run generate\`; \`--help\` of each program tells the same. Everything is an environment
variable, read once, at the start; an empty value counts as unset. All mistakes are reported at once, and the program ends with 2.
Sizes are written \`20GiB\`, durations \`60s\`, addresses \`host:port\`.

## Agent

${variables(AGENT_VARIABLES)}
## Shared tier

${variables(TIER_VARIABLES)}
## circctl

What the agent's variables say, it says as well: ${Object.keys(CIRCCTL_VARIABLES).map(code).join(', ')}. \`circctl doctor\` reads
all of the agent's.

## npm start

Both programs in one process, with other defaults:

${markdownTable(
  ['variable', 'default'],
  Object.entries(EMBEDDED).map(([name, value]) => [code(name), code(value)]),
)}
## Origins file

YAML, named by \`CIRC_ORIGINS\`; read at the start. Registries that are not listed are reached by https, port 443, at public
addresses only.

${keys('the origins file', ORIGINS, Object.keys(originsFile.shape))}
An entry under \`registries:\`

${keys('registries', REGISTRY, Object.keys(listedRegistry.shape))}`;
}

function variables(table: Readonly<Record<string, Variable<unknown>>>): string {
  const rows = Object.entries(table).map(([name, { default: byDefault, meaning }]) => [
    code(name),
    code(byDefault),
    meaning,
  ]);
  return markdownTable(['variable', 'default', 'meaning'], rows);
}

/** @throws Error when a key of the schema is not described, or one that is described is none */
function keys(what: string, described: Described, schema: readonly string[]): string {
  const wrong = new Set(Object.keys(described)).symmetricDifference(new Set(schema));
  if (wrong.size > 0) throw new Error(`scripts/docs/configuration.ts and ${what} differ in ${[...wrong].join(', ')}`);
  const rows = Object.entries(described).map(([key, [byDefault, meaning]]) => [code(key), byDefault, meaning]);
  return markdownTable(['key', 'default', 'meaning'], rows);
}
