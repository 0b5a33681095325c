import type { VerifyResponse__Output } from '../../proto/generated/circ/v1/VerifyResponse.ts';
import { formatSize } from '../../service/units.ts';
import type { Command } from '../command.ts';
import { ProgressLine, formatBar } from '../progress.ts';
import { plain } from '../terminal.ts';

/** Hashes everything that is cached. */
export const verify: Command = {
  summary: 'hash everything that is cached, and drop what is not what its digest says',
  synopsis: '',
  options: {},
  details: 'Exit code 1: something was damaged, or could not be read.',
  args: [0, 0],
  async run(call) {
    using admin = call.admin();
    using progress = new ProgressLine(call.terminal);
    let last: VerifyResponse__Output | undefined;
    let bad = 0;
    for await (const answer of admin.verify()) {
      last = answer;
      bad += answer.corrupt.length + answer.unreadable.length;
      if (call.isJson) {
        call.json(answer);
        continue;
      }
      progress.clear();
      for (const digest of answer.corrupt) call.terminal.out(`damaged, dropped   ${plain(digest)}\n`);
      for (const digest of answer.unreadable) call.terminal.out(`cannot be read     ${plain(digest)}\n`);
      progress.show(formatBar(answer.bytes, answer.totalBytes));
    }
    progress.clear();
    if (!call.isJson) {
      const { blobs = 0, bytes = 0 } = last ?? {};
      call.terminal.out(`${blobs} contents, ${formatSize(bytes)}, of which ${bad} not good\n`);
    }
    return last?.done === true && bad === 0 ? 0 : 1;
  },
};
