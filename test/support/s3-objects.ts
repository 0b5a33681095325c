import { createHash, randomUUID } from 'node:crypto';

export interface StoredObject {
  readonly bytes: Buffer;
  readonly etag: string;
  readonly writtenAt: Date;
}

export interface StoredUpload {
  readonly key: string;
  readonly begunAt: Date;
  readonly parts: Map<number, StoredObject>;
}

/** What a bucket of a test keeps: in memory, strictly consistent, as S3 is. */
export class S3Objects {
  readonly objects = new Map<string, StoredObject>();
  readonly uploads = new Map<string, StoredUpload>();

  put(key: string, bytes: Buffer): StoredObject {
    const object = objectOf(bytes);
    this.objects.set(key, object);
    return object;
  }

  begin(key: string): string {
    const id = randomUUID();
    this.uploads.set(id, { key, begunAt: new Date(), parts: new Map() });
    return id;
  }

  /** Undefined when there is no such upload. */
  putPart(id: string, number: number, bytes: Buffer): StoredObject | undefined {
    const part = objectOf(bytes);
    return this.uploads.get(id)?.parts.set(number, part) && part;
  }

  /** Undefined when there is no such upload, or one of the parts is not what was sent. */
  complete(id: string, parts: readonly { number: number; etag: string }[]): StoredObject | undefined {
    const upload = this.uploads.get(id);
    const found = parts.map(({ number, etag }) => {
      const part = upload?.parts.get(number);
      return part?.etag === etag ? part.bytes : undefined;
    });
    if (!upload || found.length === 0 || found.includes(undefined)) return undefined;
    this.uploads.delete(id);
    return this.put(upload.key, Buffer.concat(found.filter((bytes) => bytes !== undefined)));
  }

  /** Keys in their order. */
  keys(prefix = ''): string[] {
    return [...this.objects.keys()].filter((key) => key.startsWith(prefix)).toSorted();
  }
}

function objectOf(bytes: Buffer): StoredObject {
  return { bytes, etag: `"${createHash('md5').update(bytes).digest('hex')}"`, writtenAt: new Date() };
}
