import { formatSize } from '../../service/units.ts';
import type { Command } from '../command.ts';
import { formatTable } from '../table.ts';

const PAGE = 1_000;

/** Cached content. */
export const blobs: Command = {
  summary: 'cached contents, manifests and blobs; all, or those of a repository',
  synopsis: '[REPOSITORY]',
  options: {},
  args: [0, 1],
  async run(call) {
    using admin = call.admin();
    const [repository = ''] = call.args;
    let pageToken = '';
    do {
      const page = await admin.blobs({ pageSize: PAGE, pageToken, repository });
      if (call.isJson) for (const blob of page.blobs) call.json(blob);
      else {
        const table = formatTable(
          [
            { title: pageToken === '' ? 'DIGEST' : '', of: ({ digest }) => digest },
            { title: pageToken === '' ? 'SIZE' : '', of: ({ size }) => formatSize(size).padStart(10), isRight: true },
          ],
          page.blobs,
        );
        call.terminal.out(pageToken === '' ? table : table.replace(/^.*\n/, ''));
      }
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    return 0;
  },
};
