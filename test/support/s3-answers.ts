import type { ServerResponse } from 'node:http';
import { parseRange, resolveRange, formatContentRange } from '../../oci/range.ts';
import type { S3Objects } from './s3-objects.ts';
import type { S3Mood, S3Request } from './s3-server.ts';

export interface S3Question extends S3Request {
  readonly url: URL;
  readonly body: Buffer;
  readonly maxKeys: number;
  readonly accessKey: string;
  /** What to answer instead. */
  readonly error: readonly [number, string] | undefined;
}

/** An answer with an XML body (https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html). */
class S3Failure extends Error {
  readonly status: number;

  constructor(status: number, code: string) {
    super(code);
    this.status = status;
  }
}

/** Answers one question about the bucket. */
export function answerS3(bucket: S3Objects, question: S3Question, response: ServerResponse, mood: S3Mood): void {
  try {
    if (question.error) throw new S3Failure(...question.error);
    assertAllowed(question);
    if (question.key === '') answerBucket(bucket, question, response);
    else if (question.query.has('uploads') || question.query.has('uploadId')) answerUpload(bucket, question, response);
    else answerObject(bucket, question, response, mood);
  } catch (error) {
    if (!(error instanceof S3Failure)) throw error;
    const body = question.method === 'HEAD' ? '' : `<Error><Code>${error.message}</Code></Error>`;
    response.writeHead(error.status, { 'content-type': 'application/xml' }).end(body);
  }
}

function assertAllowed({ query, headers, accessKey, method }: S3Question): void {
  const credential = query.get('X-Amz-Credential');
  if (credential === null) {
    if (headers.authorization?.includes(`Credential=${accessKey}/`) !== true) throw new S3Failure(403, 'AccessDenied');
    return;
  }
  const [, date = '', time = ''] = /^(\d{8})T(\d{6})Z$/.exec(query.get('X-Amz-Date') ?? '') ?? [];
  const signedAt = Date.parse(`${date.replace(/^(....)(..)/, '$1-$2-')}T${time.replace(/^(..)(..)/, '$1:$2:')}Z`);
  const isOver = Date.now() > signedAt + 1000 * Number(query.get('X-Amz-Expires'));
  if (isOver || !credential.startsWith(`${accessKey}/`) || method !== 'GET') throw new S3Failure(403, 'AccessDenied');
}

function answerBucket(bucket: S3Objects, { method, query, maxKeys }: S3Question, response: ServerResponse): void {
  const prefix = query.get('prefix') ?? '';
  if (method !== 'GET') throw new S3Failure(405, 'MethodNotAllowed');
  if (query.has('uploads')) {
    const uploads = [...bucket.uploads].filter(([, { key }]) => key.startsWith(prefix));
    const rows = uploads.map(
      ([id, { key, begunAt }]) =>
        `<Upload><Key>${key}</Key><UploadId>${id}</UploadId><Initiated>${begunAt.toISOString()}</Initiated></Upload>`,
    );
    sendXml(response, `<ListMultipartUploadsResult>${rows.join('')}</ListMultipartUploadsResult>`);
    return;
  }
  const after = query.get('continuation-token') ?? '';
  const keys = bucket.keys(prefix).filter((key) => key > after);
  const page = keys.slice(0, maxKeys);
  const rows = page.map((key) => {
    const object = bucket.objects.get(key);
    const date = object?.writtenAt.toISOString();
    return `<Contents><Key>${key}</Key><Size>${object?.bytes.length}</Size><LastModified>${date}</LastModified></Contents>`;
  });
  const isTruncated = keys.length > page.length;
  const next = isTruncated ? `<NextContinuationToken>${page.at(-1)}</NextContinuationToken>` : '';
  const head = `<IsTruncated>${isTruncated}</IsTruncated>${next}`;
  sendXml(response, `<ListBucketResult>${head}${rows.join('')}</ListBucketResult>`);
}

function answerUpload(bucket: S3Objects, { method, key, query, body }: S3Question, response: ServerResponse): void {
  const id = query.get('uploadId') ?? '';
  if (query.has('uploads')) {
    sendXml(
      response,
      `<InitiateMultipartUploadResult><UploadId>${bucket.begin(key)}</UploadId></InitiateMultipartUploadResult>`,
    );
  } else if (bucket.uploads.get(id)?.key !== key) {
    throw new S3Failure(404, 'NoSuchUpload');
  } else if (method === 'DELETE') {
    bucket.uploads.delete(id);
    response.writeHead(204).end();
  } else if (method === 'PUT') {
    const part = bucket.putPart(id, Number(query.get('partNumber')), body);
    response.writeHead(200, { etag: part?.etag }).end();
  } else {
    const parts = Array.from(body.toString().matchAll(/<Part>(.*?)<\/Part>/gs), ([, part = '']) => ({
      number: Number(/<PartNumber>(\d+)</.exec(part)?.[1]),
      etag: (/<ETag>(.*?)</.exec(part)?.[1] ?? '').replaceAll('&quot;', '"'),
    }));
    const object = bucket.complete(id, parts);
    if (!object) throw new S3Failure(400, 'InvalidPart');
    sendXml(response, `<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>`);
  }
}

function answerObject(
  bucket: S3Objects,
  { method, key, headers, body }: S3Question,
  response: ServerResponse,
  { cutAfter }: S3Mood,
): void {
  const object = bucket.objects.get(key);
  if (method === 'PUT') {
    const ifMatch = headers['if-match'];
    if (ifMatch !== undefined && !object) throw new S3Failure(404, 'NoSuchKey');
    const isTaken = headers['if-none-match'] === '*' && object !== undefined;
    if (isTaken || (ifMatch !== undefined && ifMatch !== object?.etag)) throw new S3Failure(412, 'PreconditionFailed');
    response.writeHead(200, { etag: bucket.put(key, body).etag }).end();
  } else if (method === 'DELETE') {
    bucket.objects.delete(key);
    response.writeHead(204).end();
  } else if (!object) {
    throw new S3Failure(404, method === 'HEAD' ? 'NotFound' : 'NoSuchKey');
  } else {
    const { bytes, etag, writtenAt } = object;
    const wanted = parseRange(headers.range);
    const range = wanted && resolveRange(wanted, bytes.length);
    const { start, end } = range ?? { start: 0, end: bytes.length };
    response.writeHead(range ? 206 : 200, {
      etag,
      'content-length': end - start,
      'last-modified': writtenAt.toUTCString(),
      'accept-ranges': 'bytes',
      ...(range && { 'content-range': formatContentRange(range, bytes.length) }),
    });
    if (method === 'HEAD') {
      response.end();
    } else if (cutAfter === undefined) {
      response.end(bytes.subarray(start, end));
    } else {
      response.write(bytes.subarray(start, Math.min(end, start + cutAfter)), () => response.destroy());
    }
  }
}

function sendXml(response: ServerResponse, text: string): void {
  response.writeHead(200, { 'content-type': 'application/xml' }).end(`<?xml version="1.0" encoding="UTF-8"?>${text}`);
}
