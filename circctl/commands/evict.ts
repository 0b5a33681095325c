import { formatSize } from '../../service/units.ts';
import { type Command, UsageError } from '../command.ts';

/** Removes content from the cluster's cache. */
export const evict: Command = {
  summary: 'remove content from the cache: a digest, a repository, or everything',
  synopsis: 'DIGEST | REPOSITORY | --all',
  options: {
    all: { type: 'boolean', meaning: 'everything' },
    'dry-run': { type: 'boolean', meaning: 'only tell what would go' },
    yes: { type: 'boolean', meaning: 'needed for --all: each image then comes from its registry again' },
  },
  details: 'Nodes keep what they have on their own disks, and go on serving it to who may read it.',
  args: [0, 1],
  async run(call) {
    const [what] = call.args;
    const [isAll, dryRun] = [call.flag('all'), call.flag('dry-run')];
    if (isAll === (what !== undefined)) throw new UsageError('a digest, a repository, or --all');
    if (isAll && !dryRun && !call.flag('yes')) throw new UsageError('--all needs --yes, or --dry-run');
    using admin = call.admin();
    const evicted = await admin.evict({
      dryRun,
      ...(isAll && { all: true }),
      ...(what !== undefined && (/^sha\d+:/.test(what) ? { digest: what } : { repository: what })),
    });
    if (call.isJson) call.json(evicted);
    else {
      const verb = dryRun ? 'would be' : 'were';
      call.terminal.out(`${evicted.blobs} contents, ${formatSize(evicted.bytes)}, ${verb} removed\n`);
    }
    return 0;
  },
};
