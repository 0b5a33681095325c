import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AddressGuard, isPublicName } from '../../../shared-tier/origin/address-guard.ts';

const guard = new AddressGuard();

describe('addresses that must not be dialled', () => {
  test.each([
    ['this network', ['0.0.0.0', '0.1.2.3', '0.255.255.255']],
    ['private use', ['10.0.0.0', '10.255.255.255', '172.16.0.1', '172.31.255.255', '192.168.0.1', '192.168.255.255']],
    ['shared address space', ['100.64.0.0', '100.127.255.255']],
    ['loopback', ['127.0.0.1', '127.255.255.254']],
    ['link-local and cloud metadata', ['169.254.0.1', '169.254.169.254', '169.254.170.2']],
    ['protocol assignments', ['192.0.0.1', '192.0.0.192']],
    ['documentation', ['192.0.2.1', '198.51.100.1', '203.0.113.1']],
    ['benchmarking', ['198.18.0.0', '198.19.255.255']],
    ['multicast', ['224.0.0.1', '239.255.255.255']],
    ['reserved and broadcast', ['240.0.0.1', '255.255.255.255']],
    ['unspecified and loopback of IPv6', ['::', '::1']],
    ['unique local', ['fc00::1', 'fd00:ec2::254', 'fdff:ffff::1']],
    ['link-local of IPv6', ['fe80::1', 'febf::1', 'fe80::1%eth0']],
    ['site-local', ['fec0::1', 'feff::1']],
    ['multicast of IPv6', ['ff02::1', 'ff0e::1']],
    ['documentation of IPv6', ['2001:db8::1']],
    ['discard', ['100::1']],
    ['IPv4-mapped', ['::ffff:127.0.0.1', '::ffff:10.0.0.1', '::ffff:a9fe:a9fe', '0:0:0:0:0:ffff:7f00:1']],
    ['IPv4-compatible', ['::127.0.0.1', '::10.0.0.1', '::808:808']],
    ['IPv4-translated', ['::ffff:0:127.0.0.1', '::ffff:0:8.8.8.8']],
    ['NAT64', ['64:ff9b::7f00:1', '64:ff9b::10.0.0.1', '64:ff9b::8.8.8.8', '64:ff9b:1::10.0.0.1']],
    ['6to4', ['2002:7f00:1::', '2002:a00:1::1', '2002:0808:0808::1']],
    ['Teredo', ['2001::1', '2001:0:a00:1::']],
    ['what is no address', ['', 'localhost', 'example.com', '127.0.0.1:80', '[::1]', '1.2.3.4.5', '10.0.0.1\0']],
  ])('are %s', (_name, addresses) => {
    expect(addresses.filter((address) => guard.isPublic(address))).toEqual([]);
  });

  test.each(['2130706433', '0x7f000001', '0177.0.0.1', '127.1', '0x7f.1', '0', '0xa9.254.0xa9fe', '017700000001'])(
    'are loopback and metadata in the spelling %s, also as a URL writes it',
    (spelling) => {
      const { hostname } = new URL(`https://${spelling}/`);

      expect([guard.isPublic(spelling), guard.isPublic(hostname)]).toEqual([false, false]);
    },
  );

  test('are all of 10.0.0.0/8 in every IPv6 form that carries an IPv4 address', () => {
    fc.assert(
      fc.property(fc.nat(255), fc.nat(255), fc.nat(255), (a, b, c) => {
        const hex = [10, a, b, c].map((byte) => byte.toString(16).padStart(2, '0'));
        const [high, low] = [hex.slice(0, 2).join(''), hex.slice(2).join('')];
        const forms = [`10.${a}.${b}.${c}`, `::ffff:${high}:${low}`, `::${high}:${low}`, `64:ff9b::${high}:${low}`];
        const more = [`2002:${high}:${low}::1`, `64:ff9b:1::${high}:${low}`];
        expect([...forms, ...more].filter((form) => guard.isPublic(form))).toEqual([]);
      }),
    );
  });
});

test.each([
  '1.1.1.1',
  '8.8.8.8',
  '100.63.255.255',
  '100.128.0.1',
  '172.15.0.1',
  '172.32.0.1',
  '192.167.1.1',
  '198.17.0.1',
])('%s is public', (address) => {
  expect(guard.isPublic(address)).toBe(true);
});

test.each(['2606:4700::1111', '2a00:1450:4001:81b::200e', '2001:4860:4860::8888', '::ffff:8.8.8.8'])(
  '%s is public',
  (address) => {
    expect(guard.isPublic(address)).toBe(true);
  },
);

describe('networks that the operator denies', () => {
  const strict = new AddressGuard(['8.8.8.0/24', '2606:4700::/32']);

  test.each(['8.8.8.8', '::ffff:8.8.8.8', '2606:4700::1111'])('hold %s', (address) => {
    expect(strict.isPublic(address)).toBe(false);
  });

  test.each(['8.8.9.8', '2606:4701::1111'])('do not hold %s', (address) => {
    expect(strict.isPublic(address)).toBe(true);
  });
});

describe('names that may be registries on the internet', () => {
  test.each([
    'quay.io',
    'registry-1.docker.io',
    'public.ecr.aws',
    'a.b.c.example.com',
    'xn--bcher-kva.example',
    'localhost.example.com',
  ])('are such as %s', (name) => {
    expect(isPublicName(name)).toBe(true);
  });

  test.each([
    'localhost',
    'registry',
    'a.localhost',
    'printer.local',
    'metadata.google.internal',
    'nas.lan',
    'router.home',
    'git.corp',
    'wiki.intranet',
    'registry.default.svc',
    'registry.default.svc.cluster.local',
    'box.home.arpa',
    '127.0.0.1',
    '10.0.0.1',
    '0x7f.0.0.0x1',
    '1.2.3.0xff',
    '[::1]',
    '[',
    '',
  ])('are not such as %j', (name) => {
    expect(isPublicName(name)).toBe(false);
  });
});
