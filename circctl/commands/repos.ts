import { formatSize } from '../../service/units.ts';
import type { ListRepositoriesResponse__Output } from '../../proto/generated/circ/v1/ListRepositoriesResponse.ts';
import { type Command, oneOf } from '../command.ts';
import { formatTable } from '../table.ts';

/** The largest page, so that there are few. */
const PAGE = 1_000;

type Row = ListRepositoriesResponse__Output['repositories'][number];

/** The shared tier gives them by name. */
const ORDERS: Readonly<Record<string, (a: Row, b: Row) => number>> = {
  name: () => 0,
  size: (a, b) => b.bytes - a.bytes,
  pulls: (a, b) => b.pulls - a.pulls,
};

/** The repositories of which something is cached. */
export const repos: Command = {
  summary: 'repositories of which something is cached',
  synopsis: '',
  options: { sort: { type: 'string', value: 'name|size|pulls', meaning: 'the order; name unless given' } },
  args: [0, 0],
  async run(call) {
    const sort = oneOf(Object.keys(ORDERS), call.text('sort') ?? 'name', 'sort');
    using admin = call.admin();
    const rows: Row[] = [];
    let isIncomplete = false;
    let pageToken = '';
    do {
      const page = await admin.repositories({ pageSize: PAGE, pageToken });
      rows.push(...page.repositories);
      isIncomplete ||= page.incomplete;
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    rows.sort(ORDERS[sort]);
    if (call.isJson) {
      for (const row of rows) call.json(row);
    } else {
      const table = formatTable(
        [
          { title: 'REPOSITORY', of: ({ registry, repository }) => `${registry}/${repository}` },
          { title: 'CONTENTS', of: ({ blobs }) => blobs, isRight: true },
          { title: 'SIZE', of: ({ bytes }) => formatSize(bytes), isRight: true },
          { title: 'PULLS', of: ({ pulls }) => pulls, isRight: true },
        ],
        rows,
      );
      call.terminal.out(table);
    }
    if (isIncomplete) call.terminal.err('there are more than can be looked at for one answer; these are not all\n');
    return 0;
  },
};
