import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  type S3ClientConfig,
} from '@aws-sdk/client-s3';
import { isIP } from 'node:net';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import type { BufferPool } from '../../content/buffer-pool.ts';
import { OciError } from '../../oci/error.ts';
import { type ByteRange, parseContentRange } from '../../oci/range.ts';
import { type Connect, connectPlain, connectSecurely } from '../../service/read-connection.ts';
import { type RangeRead, openRangeRead } from '../../service/range-read.ts';
import { Slots } from '../slots.ts';
import { bucketError, isAbsent, isConflict, isNotImplemented } from './bucket-error.ts';

/** Where a bucket is, and who asks. */
export interface BucketConfig {
  readonly bucket: string;
  /** Before each key; empty, or ends with `/`. */
  readonly prefix: string;
  /** URL of an S3-compatible service; undefined = AWS. */
  readonly endpoint: string | undefined;
  readonly region: string;
  /** `ENDPOINT/BUCKET/KEY` instead of `BUCKET.ENDPOINT/KEY`. */
  readonly pathStyle: boolean;
  /** PEM text of the authorities that vouch for the endpoint; undefined = those of the system. */
  readonly ca: string | undefined;
  /** Undefined = what AWS's SDK finds: web identity, container, instance, profile. */
  readonly credentials:
    | { readonly accessKeyId: string; readonly secretAccessKey: string; readonly sessionToken?: string }
    | undefined;
}

/** A small object, and its version. */
export interface Document {
  readonly text: string;
  readonly etag: string;
}

export interface ListedObject {
  /** Without the bucket's prefix. */
  readonly key: string;
  readonly sizeBytes: number;
  /** When it was written, by the bucket's clock, in ms since 1970. */
  readonly writtenAtMs: number;
}

/** Bytes of an object; consume or destroy them. */
export interface ObjectBody {
  readonly sizeBytes: number;
  readonly pieces: AsyncIterable<Uint8Array> & { destroy(error?: Error): void };
}

/** A question without a body of any size. */
const QUESTION_MS = 10_000;
const QUESTION_TRIES = 3;
const CONNECT_MS = 3_000;
/** A connection without a byte for so long is broken. */
const SILENCE_MS = 10_000;
const STREAM_TIMES = { connectMs: CONNECT_MS, headMs: SILENCE_MS, silenceMs: SILENCE_MS };
const MAX_QUESTIONS = 64;
const MAX_BODIES = 256;
/** A record of 1,000 repositories is some 100 KB. */
const MAX_DOCUMENT_BYTES = 16 * 1024 * 1024;

/**
 * One bucket (or a part of it, below a prefix) of an S3-compatible store. Keys are without that prefix. Questions are
 * tried again a few times; who sends or reads bodies has to do that for himself.
 *
 * All of it throws OciError UNAVAILABLE when the bucket cannot be asked or refuses.
 */
export class Bucket implements Disposable {
  readonly #config: BucketConfig;
  /** Apart from each other, so that slow readers of bodies never keep questions waiting. */
  readonly #questions: S3Client;
  readonly #bodies: S3Client;
  readonly #streams = new Slots({ slots: MAX_BODIES });
  readonly #connect: Connect;

  constructor(config: BucketConfig) {
    this.#config = config;
    this.#questions = new S3Client(clientConfig(config, MAX_QUESTIONS, QUESTION_TRIES));
    this.#bodies = new S3Client(clientConfig(config, MAX_BODIES, 1));
    const ca = config.ca === undefined ? {} : { ca: config.ca };
    this.#connect = (url, receiver) => {
      if (url.protocol === 'http:') return connectPlain(url, receiver);
      const name = isIP(url.hostname) === 0 ? { servername: url.hostname } : {};
      return connectSecurely(url, receiver, { ...ca, ...name });
    };
  }

  /** For commands of more than one request; their input is made by `at`. */
  get clients(): { readonly questions: S3Client; readonly bodies: S3Client } {
    return { questions: this.#questions, bodies: this.#bodies };
  }

  /** The place of a key, as commands want it. */
  at(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.#config.bucket, Key: this.#config.prefix + key };
  }

  /** A small object; undefined when there is none. @param withinMs bound of all tries */
  async read(key: string, withinMs = QUESTION_MS): Promise<Document | undefined> {
    try {
      const {
        Body,
        ETag = '',
        ContentLength = 0,
      } = await this.#questions.send(new GetObjectCommand(this.at(key)), bounded(withinMs));
      if (!Body || ContentLength > MAX_DOCUMENT_BYTES) throw new OciError('UNAVAILABLE', 'a record is too large');
      return { text: await Body.transformToString(), etag: ETag };
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw bucketError(error);
    }
  }

  /**
   * Writes a small object if it still has this version, or if there is none yet. Stores that cannot do that write anyway:
   * then the last writer wins, and what the other one knew has to be learnt again.
   *
   * @returns the new version; undefined when somebody else was faster
   */
  async write(key: string, text: string, etag: string | undefined): Promise<string | undefined> {
    const put = async (condition: { IfMatch?: string; IfNoneMatch?: string }): Promise<string> => {
      const input = { ...this.at(key), ...condition, Body: text, ContentType: 'application/json' };
      const { ETag = '' } = await this.#questions.send(new PutObjectCommand(input), bounded());
      return ETag;
    };
    try {
      return await put(etag === undefined ? { IfNoneMatch: '*' } : { IfMatch: etag });
    } catch (error) {
      if (isConflict(error) || (isAbsent(error) && etag !== undefined)) return undefined;
      if (!isNotImplemented(error)) throw bucketError(error);
    }
    try {
      return await put({});
    } catch (error) {
      throw bucketError(error);
    }
  }

  /** Writes an object whatever there is. @param withinMs bound of all tries */
  async put(key: string, bytes: Uint8Array, withinMs = 6 * QUESTION_MS): Promise<void> {
    try {
      const input = { ...this.at(key), Body: bytes, ContentLength: bytes.length };
      await this.#questions.send(new PutObjectCommand(input), bounded(withinMs));
    } catch (error) {
      throw bucketError(error);
    }
  }

  /** Size of an object; undefined when there is none. */
  async stat(key: string): Promise<{ sizeBytes: number } | undefined> {
    try {
      const { ContentLength = 0 } = await this.#questions.send(new HeadObjectCommand(this.at(key)), bounded());
      return { sizeBytes: ContentLength };
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw bucketError(error);
    }
  }

  /** A part of an object that is not empty, one try; undefined when there is no such object. */
  async open(key: string, { start, end }: ByteRange, signal: AbortSignal): Promise<ObjectBody | undefined> {
    try {
      const input = { ...this.at(key), Range: `bytes=${start}-${end - 1}` };
      const answer = await this.#bodies.send(new GetObjectCommand(input), { abortSignal: signal });
      const told = parseContentRange(answer.ContentRange);
      const pieces = answer.Body as ObjectBody['pieces'] | undefined;
      if (!pieces) throw new OciError('UNAVAILABLE', 'the bucket sent no body');
      if (told?.start !== start || told.end > end) {
        pieces.destroy();
        throw new OciError('UNAVAILABLE', 'the bucket sent another range than it was asked for');
      }
      return { sizeBytes: told.sizeBytes, pieces };
    } catch (error) {
      if (isAbsent(error)) return undefined;
      signal.throwIfAborted();
      throw bucketError(error);
    }
  }

  /**
   * The same for many bytes, by a reader that takes a sixth of the processor time of the SDK's. It only knows what a range
   * that is there looks like.
   *
   * @throws OciError UNAVAILABLE or BLOB_UNKNOWN for everything else; what it was `open` can tell
   */
  async stream(
    key: string,
    range: ByteRange,
    { pool, signal }: { pool: BufferPool; signal: AbortSignal },
  ): Promise<RangeRead> {
    const slot = await this.#streams.take(key, signal);
    try {
      const url = new URL(await this.presign(key, QUESTION_MS));
      const connect = this.#connect;
      const read = await openRangeRead(url, range, { pool, signal, connect, ...STREAM_TIMES });
      return {
        wholeBytes: read.wholeBytes,
        [Symbol.asyncIterator]: () => read[Symbol.asyncIterator](),
        [Symbol.dispose]: () => {
          read[Symbol.dispose]();
          slot[Symbol.dispose]();
        },
      };
    } catch (error) {
      slot[Symbol.dispose]();
      throw error;
    }
  }

  /** Removes an object, if there is one. */
  async delete(key: string): Promise<void> {
    try {
      await this.#questions.send(new DeleteObjectCommand(this.at(key)), bounded());
    } catch (error) {
      if (!isAbsent(error)) throw bucketError(error);
    }
  }

  /** All objects whose keys begin so, in the order of their keys; one question per 1,000. */
  async *list(prefix: string): AsyncGenerator<ListedObject> {
    const { Bucket: bucket, Key: from } = this.at(prefix);
    let token: string | undefined;
    do {
      const input = { Bucket: bucket, Prefix: from, ...(token !== undefined && { ContinuationToken: token }) };
      const page = await this.#questions.send(new ListObjectsV2Command(input), bounded()).catch((error: unknown) => {
        throw bucketError(error);
      });
      for (const { Key = '', Size = 0, LastModified } of page.Contents ?? []) {
        const key = Key.slice(this.#config.prefix.length);
        yield { key, sizeBytes: Size, writtenAtMs: LastModified?.getTime() ?? 0 };
      }
      token = page.IsTruncated ? page.NextContinuationToken : undefined;
    } while (token !== undefined);
  }

  /** A URL that is the right to GET this object, for that long. @param validForMs rounded down to seconds, at least one */
  async presign(key: string, validForMs: number): Promise<string> {
    const expiresIn = Math.max(1, Math.floor(validForMs / 1000));
    return await getSignedUrl(this.#bodies, new GetObjectCommand(this.at(key)), { expiresIn });
  }

  [Symbol.dispose](): void {
    this.#questions.destroy();
    this.#bodies.destroy();
  }
}

function clientConfig(config: BucketConfig, maxSockets: number, maxAttempts: number): S3ClientConfig {
  const { endpoint, region, pathStyle, ca, credentials } = config;
  return {
    region,
    maxAttempts,
    forcePathStyle: pathStyle,
    ...(endpoint !== undefined && { endpoint }),
    ...(credentials && { credentials }),
    // Many stores do not know the newer checksums; what matters here has a digest anyway.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: {
      connectionTimeout: CONNECT_MS,
      socketTimeout: SILENCE_MS,
      httpAgent: { keepAlive: true, maxSockets },
      httpsAgent: { keepAlive: true, maxSockets, ...(ca !== undefined && { ca }) },
    },
  };
}

function bounded(ms = QUESTION_MS): { abortSignal: AbortSignal } {
  return { abortSignal: AbortSignal.timeout(ms) };
}
