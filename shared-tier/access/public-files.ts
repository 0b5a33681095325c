import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Layout } from '../../content/layout.ts';
import { RecordFiles } from '../record-files.ts';
import type { PublicRecords } from './public-places.ts';
import { type PublicRecord, formatRecord, isRecent, parseRecord } from './public-record.ts';

/** Records of public repositories in files beside a store in a directory, one each, for one process. */
export class PublicFiles implements PublicRecords {
  readonly known: PublicRecord[] = [];
  readonly #directory: string;
  readonly #files: RecordFiles;

  private constructor(layout: Layout, failed: (error: unknown) => void) {
    this.#directory = layout.publicPlaces;
    this.#files = new RecordFiles(() => layout.temporary(), failed);
  }

  /**
   * Reads what was written down; what cannot be read or is over is dropped.
   *
   * @param failed a record could not be written: after a restart the repository has to be proved again
   */
  static async open(layout: Layout, failed: (error: unknown) => void): Promise<PublicFiles> {
    const records = new PublicFiles(layout, failed);
    const { publicPlaces: directory } = layout;
    await mkdir(directory, { recursive: true });
    for (const name of await readdir(directory)) {
      const record = parseRecord(await readFile(join(directory, name), 'utf8').catch(() => ''));
      if (record && name === fileName(record.place) && isRecent(record)) records.known.push(record);
      else await rm(join(directory, name), { force: true });
    }
    return records;
  }

  write(place: string, record: () => PublicRecord | undefined): void {
    this.#files.write(join(this.#directory, fileName(place)), () => {
      const known = record();
      return known && formatRecord(known);
    });
  }

  evicted(place: string): void {
    this.write(place, () => undefined);
  }

  async settled(): Promise<void> {
    await this.#files.settled();
  }
}

function fileName(place: string): string {
  return `${createHash('sha256').update(place).digest('hex')}.json`;
}
