import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { type Check, ok, skipped } from '../check.ts';

const run = promisify(execFile);
const RUN_MS = 5_000;

/** hosts.toml came with 1.5; the oldest one that circ is tried with is 1.6. */
const OLDEST = [1, 6] as const;

/** Does this containerd know hosts.toml? */
export const containerdOld: Check = {
  name: 'containerd-too-old',
  async run({ containerdProgram: program }) {
    if (program === undefined) return skipped('containerd’s program is not found; --containerd says where it is');
    let text: string;
    try {
      ({ stdout: text } = await run(program, ['--version'], { timeout: RUN_MS, env: {} }));
    } catch (error) {
      return skipped(`${program} --version cannot be run here: ${(error as Error).message.split('\n')[0]}`);
    }
    const [, version, major, minor] = / v?((\d+)\.(\d+)\.\S+)/.exec(text) ?? [];
    if (version === undefined) return skipped(`${program} --version tells no version`);
    const isOld = Number(major) < OLDEST[0] || (Number(major) === OLDEST[0] && Number(minor) < OLDEST[1]);
    if (!isOld) return ok(`containerd is ${version}`);
    const problem = `containerd is ${version}; circ needs ${OLDEST.join('.')} or later, because older ones do not know hosts.toml well`;
    return { kind: 'found', findings: [{ problem, mend: ['upgrade containerd, or the distribution that brings it'] }] };
  },
};
