import type { WatchFetchesResponse__Output } from '../../proto/generated/circ/v1/WatchFetchesResponse.ts';
import type { AdminClient } from '../admin-client.ts';
import type { Command } from '../command.ts';
import { formatBar } from '../progress.ts';
import { formatTable } from '../table.ts';

/** What is retrieved from registries now. */
export const fetches: Command = {
  summary: 'what this replica retrieves from registries now',
  synopsis: '',
  options: { watch: { type: 'boolean', meaning: 'again every second, until it is interrupted' } },
  args: [0, 0],
  async run(call) {
    using admin = call.admin();
    for await (const answer of watched(admin)) {
      if (call.isJson) call.json(answer);
      else {
        const table = formatTable(
          [
            { title: 'REPOSITORY', of: ({ registry, repository }) => `${registry}/${repository}` },
            { title: 'DIGEST', of: ({ digest }) => digest.slice(0, 19) },
            { title: 'PROGRESS', of: ({ size, received }) => (size > 0 ? formatBar(received, size) : 'not stored') },
            { title: 'WAITERS', of: ({ waiters }) => waiters, isRight: true },
            { title: 'SINCE', of: ({ ageMs }) => `${Math.floor(ageMs / 1000)} s`, isRight: true },
          ],
          answer.fetches,
        );
        call.terminal.out(table);
        const more = answer.total - answer.fetches.length;
        if (more > 0) call.terminal.out(`and ${more} more\n`);
      }
      if (!call.flag('watch')) break;
      if (!call.isJson) call.terminal.out('\n');
    }
    return 0;
  },
};

/** A watch ends after a while, so that who may watch is asked anew. */
async function* watched(admin: AdminClient): AsyncGenerator<WatchFetchesResponse__Output, void, void> {
  for (let isAnswered = true; isAnswered;) {
    isAnswered = false;
    for await (const answer of admin.fetches()) {
      isAnswered = true;
      yield answer;
    }
  }
}
