import { mkdirSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { OciError } from '../oci/error.ts';
import { Layout } from './layout.ts';

const SQLITE_BUSY = 5; // https://sqlite.org/rescode.html#busy

/**
 * The right to be the only process that uses a directory. Two of them would delete each other's files.
 *
 * Node has no file locks, but it brings SQLite along, which takes the kernel's (fcntl) on its files. Such a lock belongs
 * to the file itself, so it holds between containers that share nothing else, and it dies with its process, however
 * that ends: there is nothing stale to be told from what is alive. The database stays empty.
 */
export class DirectoryLock implements Disposable {
  readonly #database: DatabaseSync;

  private constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** Makes the directory if it is absent. @throws OciError UNAVAILABLE when another process has it, or it cannot be used */
  static take(directory: string): DirectoryLock {
    let database: DatabaseSync | undefined;
    try {
      mkdirSync(directory, { recursive: true });
      database = new DatabaseSync(new Layout(directory).lock, { timeout: 0 });
      database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
      return new DirectoryLock(database);
    } catch (cause) {
      database?.close();
      const isTaken = cause instanceof Error && 'errcode' in cause && cause.errcode === SQLITE_BUSY;
      const why = isTaken ? 'is in use by another process; each agent and shared tier needs its own' : 'cannot be used';
      throw new OciError('UNAVAILABLE', `the directory ${directory} ${why}`, { cause });
    }
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}
