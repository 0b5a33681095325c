import { mkdir, readdir } from 'node:fs/promises';
import { Layout } from '../../../content/layout.ts';
import { PublicFiles } from '../../../shared-tier/access/public-files.ts';
import { publicRecordsContract } from '../../contracts/public-records.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

publicRecordsContract('a directory', async () => {
  const directory = await tmpDir();
  const layout = new Layout(directory.path);
  await mkdir(layout.ingests, { recursive: true });
  const failures: unknown[] = [];
  const reopen = () => PublicFiles.open(layout, (error) => failures.push(error));
  return {
    records: await reopen(),
    reopen,
    count: async () => (await readdir(layout.publicPlaces)).length,
    failures,
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
});
