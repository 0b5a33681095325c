import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseResponseHead } from '../../service/response-head.ts';
import { OciError } from '../../oci/error.ts';

const GOOD = 'HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\n\r\n';

function parse(text: string) {
  return parseResponseHead(Buffer.from(text, 'latin1'));
}

describe('parseResponseHead', () => {
  test.each([
    ['with a reason', GOOD, 206, 5],
    ['without a reason', 'HTTP/1.1 404 \r\ncontent-length: 0\r\n\r\n', 404, 0],
    ['without even the space', 'HTTP/1.1 404\r\ncontent-length: 0\r\n\r\n', 404, 0],
    ['with other headers around', 'HTTP/1.1 200 OK\r\nA: b\r\nCONTENT-LENGTH:7  \r\nx-y:\r\n\r\n', 200, 7],
    ['of the largest length', 'HTTP/1.1 200 OK\r\ncontent-length: 999999999999999\r\n\r\n', 200, 999_999_999_999_999],
    ['with colons in a value', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nDate: Mon, 1:2:3\r\n\r\n', 200, 1],
  ])('understands a head %s', (_name, text, status, contentLength) => {
    expect(parse(text)).toEqual({ status, contentLength, bodyStart: text.length });
  });

  test('tells where the body begins when there are bytes of it already', () => {
    expect(parse(`${GOOD}hello`)).toMatchObject({ bodyStart: GOOD.length });
  });

  test('waits for the rest of every unfinished head', () => {
    for (let end = 0; end < GOOD.length; end += 1) expect(parse(GOOD.slice(0, end))).toBeUndefined();
  });

  test.each([
    ['chunked', 'HTTP/1.1 206 OK\r\nTransfer-Encoding: chunked\r\n\r\n'],
    ['chunked and with a length', 'HTTP/1.1 206 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n'],
    ['without a length', 'HTTP/1.1 206 OK\r\n\r\n'],
    ['with two lengths', 'HTTP/1.1 206 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\n'],
    ['with two lengths in one header', 'HTTP/1.1 206 OK\r\ncontent-length: 5, 5\r\n\r\n'],
    ['with a negative length', 'HTTP/1.1 206 OK\r\ncontent-length: -5\r\n\r\n'],
    ['with a signed length', 'HTTP/1.1 206 OK\r\ncontent-length: +5\r\n\r\n'],
    ['with a hexadecimal length', 'HTTP/1.1 206 OK\r\ncontent-length: 0x5\r\n\r\n'],
    ['with an empty length', 'HTTP/1.1 206 OK\r\ncontent-length:\r\n\r\n'],
    ['with a length beyond exact numbers', `HTTP/1.1 206 OK\r\ncontent-length: 1${'0'.repeat(15)}\r\n\r\n`],
    ['with a header folded over two lines', 'HTTP/1.1 206 OK\r\ncontent-length: 5\r\n 6\r\n\r\n'],
    ['with a space before the colon', 'HTTP/1.1 206 OK\r\ncontent-length : 5\r\n\r\n'],
    ['with a line without a colon', 'HTTP/1.1 206 OK\r\ncontent-length: 5\r\nnonsense\r\n\r\n'],
    ['with a bare CR in a header', 'HTTP/1.1 206 OK\r\ncontent-length: 5\rx: 6\r\n\r\n'],
    ['of HTTP/1.0', 'HTTP/1.0 206 OK\r\ncontent-length: 5\r\n\r\n'],
    ['of HTTP/2', 'HTTP/2 206\r\ncontent-length: 5\r\n\r\n'],
    ['with a status of two digits', 'HTTP/1.1 20 OK\r\ncontent-length: 5\r\n\r\n'],
    ['with a status of four digits', 'HTTP/1.1 2060 OK\r\ncontent-length: 5\r\n\r\n'],
    ['that is something else', 'SSH-2.0-OpenSSH\r\n\r\n'],
    ['that is empty', '\r\n\r\n'],
  ])('refuses a head %s', (_name, text) => {
    expect(() => parse(text)).toThrow(expect.objectContaining({ code: 'UNAVAILABLE' }));
  });

  test('refuses a head over 8 KiB, finished or not', () => {
    const long = `HTTP/1.1 206 OK\r\ncontent-length: 5\r\nx: ${'y'.repeat(8 * 1024)}`;
    expect(() => parse(long)).toThrow(expect.objectContaining({ code: 'UNAVAILABLE' }));
    expect(() => parse(`${long}\r\n\r\n`)).toThrow(expect.objectContaining({ code: 'UNAVAILABLE' }));
  });

  test('gives a head, waits, or throws an OciError for whatever bytes there are', () => {
    const anything = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc
        .array(
          fc.constantFrom('HTTP/1.1 ', '206', ' ', '\r\n', '\r\n\r\n', 'content-length', ':', '5', '\r', '\n', 'x'),
        )
        .map((parts) => Buffer.from(parts.join(''))),
    );
    const total = fc.check(
      fc.property(anything, (bytes) => {
        try {
          return (parseResponseHead(Buffer.from(bytes))?.bodyStart ?? 0) <= bytes.length;
        } catch (error) {
          return error instanceof OciError;
        }
      }),
      { numRuns: 2_000 },
    );
    expect([total.failed, total.counterexample]).toEqual([false, null]);
  });

  test('reads back every good head, whatever the case and order of its headers', () => {
    const header = fc.tuple(fc.stringMatching(/^x-[a-z]{1,10}$/), fc.stringMatching(/^[ -~]{0,20}$/));
    const good = fc.record({
      status: fc.integer({ min: 100, max: 999 }),
      length: fc.integer({ min: 0, max: 2 ** 49 }),
      before: fc.array(header, { maxLength: 5 }),
      after: fc.array(header, { maxLength: 5 }),
      name: fc.constantFrom('content-length', 'Content-Length', 'CONTENT-LENGTH'),
    });
    fc.assert(
      fc.property(good, ({ status, length, before, after, name }) => {
        const lines = [...before, [name, String(length)], ...after].map(([key, value]) => `${key}: ${value}\r\n`);
        const text = `HTTP/1.1 ${status} Any\r\n${lines.join('')}\r\n`;
        expect(parse(text)).toEqual({ status, contentLength: length, bodyStart: text.length });
      }),
    );
  });
});
