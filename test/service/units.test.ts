import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  formatAddress,
  formatSize,
  isLoopback,
  parseAddress,
  parseBandwidth,
  parseDuration,
  parsePercent,
  parseSize,
} from '../../service/units.ts';

describe('parseSize', () => {
  test.each([
    ['0', 0],
    ['4096', 4096],
    ['20GiB', 20 * 2 ** 30],
    ['20 GiB', 20 * 2 ** 30],
    ['20Gi', 20 * 2 ** 30],
    ['1.5MiB', 1.5 * 2 ** 20],
    ['500MB', 500e6],
    ['1TiB', 2 ** 40],
    ['7B', 7],
  ])('reads %s', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  test.each([
    '',
    'GiB',
    '-1',
    '1e9',
    '1 GiB extra',
    '0x10',
    '1gib',
    '1XB',
    '1,5GiB',
    'Infinity',
    'constructor',
    '1toString',
  ])('refuses %j and says what is expected', (text) => {
    expect(() => parseSize(text)).toThrow(/^a size such as 20GiB$/);
  });

  test('refuses sizes that numbers cannot hold exactly', () => {
    expect(() => parseSize('99999999TiB')).toThrow('a size');
    expect(() => parseSize('9'.repeat(400))).toThrow('a size');
  });
});

describe('parseDuration', () => {
  test.each([
    ['0s', 0],
    ['500ms', 500],
    ['60s', 60_000],
    ['1.5m', 90_000],
    ['24h', 86_400_000],
  ])('reads %s', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  test.each(['', '60', 's', '-1s', '1d', '1 s', '1S', '1s2'])('refuses %j and says what is expected', (text) => {
    expect(() => parseDuration(text)).toThrow('a duration such as 60s');
  });
});

describe('parsePercent', () => {
  test.each([
    ['0%', 0],
    ['20%', 0.2],
    ['99.5%', 0.995],
  ])('reads %s', (text, value) => {
    expect(parsePercent(text)).toBeCloseTo(value, 10);
  });

  test.each(['', '20', '100%', '-5%', '0.2', '1000%', '%'])('refuses %j', (text) => {
    expect(() => parsePercent(text)).toThrow('a percentage below 100%');
  });
});

describe('parseBandwidth', () => {
  test('reads bytes a second', () => {
    expect(parseBandwidth('200MiB/s')).toBe(200 * 2 ** 20);
  });

  test.each(['200MiB', '0/s', '/s', '200MiB/m', ''])('refuses %j', (text) => {
    expect(() => parseBandwidth(text)).toThrow('a bandwidth');
  });
});

describe('parseAddress', () => {
  test.each([
    ['127.0.0.1:5050', '127.0.0.1', 5050],
    ['[::1]:5050', '::1', 5050],
    ['[10.0.0.1]:5051', '10.0.0.1', 5051],
    ['tier.circ.svc:1', 'tier.circ.svc', 1],
    ['localhost:65535', 'localhost', 65_535],
    ['0.0.0.0:0', '0.0.0.0', 0],
  ])('reads %s', (text, host, port) => {
    expect(parseAddress(text)).toEqual({ host, port });
  });

  test.each([
    '',
    ':5050',
    '127.0.0.1',
    '127.0.0.1:',
    '127.0.0.1:65536',
    '::1:5050',
    'http://a:1',
    'a:1/x',
    'u@a:1',
    'a b:1',
  ])('refuses %j and says what is expected', (text) => {
    expect(() => parseAddress(text)).toThrow('host:port');
  });

  test('reads what formatAddress writes', () => {
    const host = fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain());
    fc.assert(
      fc.property(host, fc.integer({ min: 0, max: 65_535 }), (name, port) => {
        expect(parseAddress(formatAddress({ host: name, port }))).toEqual({ host: name, port });
      }),
    );
  });
});

describe('isLoopback', () => {
  test.each(['127.0.0.1', '127.9.9.9', '::1', 'localhost'])('says yes to %s', (host) => {
    expect(isLoopback({ host, port: 1 })).toBe(true);
  });

  test.each([
    '0.0.0.0',
    '::',
    '10.0.0.1',
    'localhost.evil.test',
    '127.0.0.1.evil.test',
    '::ffff:10.0.0.1',
    '1127.0.0.1',
  ])('says no to %s', (host) => {
    expect(isLoopback({ host, port: 1 })).toBe(false);
  });
});

describe('formatSize', () => {
  test.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1536, '1.5 KiB'],
    [2 ** 30, '1 GiB'],
    [2 ** 52, '4096 TiB'],
  ])('writes %i', (bytes, text) => {
    expect(formatSize(bytes)).toBe(text);
  });
});
