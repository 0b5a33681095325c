import type { PreheatObject__Output } from '../../proto/generated/circ/v1/PreheatObject.ts';
import type { PreheatResponse__Output } from '../../proto/generated/circ/v1/PreheatResponse.ts';
import { Authorization } from '../../oci/authorization.ts';
import { formatSize } from '../../service/units.ts';
import { type Call, type Command, UsageError } from '../command.ts';
import { ProgressLine, formatBar } from '../progress.ts';
import { plain } from '../terminal.ts';

/** Brings an image that is at its registry into the cache. */
export const preheat: Command = {
  summary: 'cache an image, or an artifact, before anybody pulls it',
  synopsis: 'IMAGE',
  options: {
    platform: {
      type: 'string',
      multiple: true,
      value: 'OS/ARCH',
      meaning: 'only this one; may be given several times',
    },
    referrers: { type: 'boolean', meaning: 'also what refers to it: signatures, SBOMs, attestations' },
    parallel: { type: 'string', value: 'N', meaning: 'objects at once, 1 to 16; 4 unless given' },
    username: { type: 'string', value: 'NAME', meaning: 'of an account at the registry' },
    'password-stdin': { type: 'boolean', meaning: 'read its password from standard input' },
    'token-stdin': { type: 'boolean', meaning: 'read a registry’s bearer token from standard input' },
  },
  details:
    'What is cached already is left alone. The image can be pulled by who may read it at its registry, and by nobody else.\n' +
    'Exit code 1: some of it could not be cached; what was, stays.',
  args: [1, 1],
  async run(call) {
    using admin = call.admin();
    using progress = new ProgressLine(call.terminal);
    const [image = ''] = call.args;
    const startedAtMs = performance.now();
    const request = {
      image,
      platforms: [...call.texts('platform')],
      referrers: call.flag('referrers'),
      parallelism: numberOf(call.text('parallel')),
      authorization: (await authorizationOf(call))?.header ?? '',
    };
    let last: PreheatResponse__Output | undefined;
    for await (const answer of admin.preheat(request)) {
      last = answer;
      if (call.isJson) {
        call.json(answer);
        continue;
      }
      progress.clear();
      for (const object of answer.changed) tell(call, object);
      const { bytes, bytesDone, objects, objectsDone } = answer;
      progress.show(`${formatBar(bytesDone, bytes)}  ${objectsDone} of ${objects} objects`);
    }
    progress.clear();
    const { done = false, objectsFailed = 0, objectsDone = 0, objects = 0, bytes = 0, bytesFetched = 0 } = last ?? {};
    if (!call.isJson) {
      const seconds = ((performance.now() - startedAtMs) / 1000).toFixed(1);
      const summary = `${objectsDone} of ${objects} objects cached, ${formatSize(bytes)}`;
      call.terminal.out(`${summary}, ${formatSize(bytesFetched)} of it fetched now, in ${seconds} s\n`);
    }
    return done && objectsFailed === 0 ? 0 : 1;
  },
};

function tell({ terminal }: Call, { digest, state, size, error }: PreheatObject__Output): void {
  if (state === 'PREHEAT_STATE_FAILED') terminal.err(`failed    ${plain(`${digest}: ${error}`)}\n`);
  if (state === 'PREHEAT_STATE_PRESENT') terminal.out(`present   ${plain(digest)}  ${formatSize(size)}\n`);
  if (state === 'PREHEAT_STATE_FETCHED') terminal.out(`fetched   ${plain(digest)}  ${formatSize(size)}\n`);
}

/** Secrets come by standard input: arguments are seen by everybody on the machine. */
async function authorizationOf(call: Call): Promise<Authorization | undefined> {
  const username = call.text('username');
  const [isPassword, isToken] = [call.flag('password-stdin'), call.flag('token-stdin')];
  if ((username !== undefined) !== isPassword) throw new UsageError('--username and --password-stdin go together');
  if (isToken && isPassword) throw new UsageError('--password-stdin and --token-stdin exclude each other');
  if (isToken) return Authorization.bearer(await call.terminal.input());
  return username === undefined ? undefined : Authorization.basic({ username, password: await call.terminal.input() });
}

function numberOf(text: string | undefined): number {
  if (text === undefined) return 0;
  if (!/^([1-9]|1[0-6])$/.test(text)) throw new UsageError('--parallel is a number from 1 to 16');
  return Number(text);
}
