import { existsSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { formatSize } from '../../../service/units.ts';
import { type Check, type Finding, verdictOf } from '../check.ts';

/** A hundredth of the files that there may be. */
const FEW_INODES = 0.01;

/** Is there room for the node cache, and for other programs beside it? */
export const diskFull: Check = {
  name: 'disk-full',
  async run({ root, agent }) {
    const { cacheDirectory, minFree } = agent;
    const { bavail, blocks, bsize, ffree, files } = await statfs(nearest(join(root, cacheDirectory)));
    const free = bavail * bsize;
    const size = blocks * bsize;
    const part = blocks > 0 ? bavail / blocks : 0;
    const told = `${formatSize(free)} of ${formatSize(size)} are free (${Math.floor(part * 100)} %)`;
    const findings: Finding[] = [];
    if (part < minFree || free === 0) {
      findings.push({
        problem: `the file system of ${cacheDirectory} is too full for the node cache: ${told}, and CIRC_AGENT_MIN_FREE leaves ${minFree * 100} % to others`,
        mend: [
          'see who fills it (du -xh --max-depth=2), or give the cache a file system of its own (CIRC_AGENT_CACHE_DIR)',
          'kubelet begins to collect images at 85 % used; a smaller CIRC_AGENT_MIN_FREE competes with it',
        ],
      });
    }
    if (files > 0 && ffree / files < FEW_INODES) {
      findings.push({
        problem: `the file system of ${cacheDirectory} has hardly any inodes left: ${ffree} of ${files}`,
        mend: ['see who has many small files there (du -x --inodes --max-depth=2)'],
      });
    }
    return verdictOf(findings, told);
  },
};

/** The directory, or what it will be made in. */
function nearest(path: string): string {
  return existsSync(path) || dirname(path) === path ? path : nearest(dirname(path));
}
