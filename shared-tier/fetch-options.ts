import type { ContentStore } from '../content/store.ts';
import type { Digest } from '../oci/digest.ts';
import type { OciError } from '../oci/error.ts';
import type { ByteRange } from '../oci/range.ts';
import type { SharedDownload } from './once.ts';
import type { DownloadOptions } from './origin/download.ts';
import type { Rights } from './right.ts';
import type { Slots } from './slots.ts';

/** What a fetch needs, and whom it tells what becomes of it. */
export interface FetchOptions {
  /** Of the caller that begins it. */
  readonly rights: Rights;
  readonly digest: Digest;
  readonly download: Omit<DownloadOptions, 'signal' | 'digest' | 'repository' | 'credential'>;
  /** Begins to download, in this replica's turn or another's. See `Once` */
  readonly start: (download: DownloadOptions, missing: ByteRange | undefined) => Promise<SharedDownload>;
  readonly store: ContentStore;
  readonly slots: Slots;
  /** A fetch that nobody follows goes on this long. */
  readonly lingerMs: number;
  /** After that, what has arrived is kept this long for somebody who comes back. */
  readonly parkMs: number;
  /** The content cannot be stored, and why; it is passed through from now on. Called at most once. */
  readonly notKept: (error: OciError) => void;
  /** The content is in the store; the fetch ends when this is settled, so that who looks afterwards finds all of it. */
  readonly committed: () => Promise<void>;
  /** Called once: when the content is committed, or nobody wants any more what was passed through; or with an error. */
  readonly ended: (error: OciError | undefined) => void;
}
