import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type ManifestLinks,
  MANIFEST_MEDIA_TYPES,
  MAX_MANIFEST_BYTES,
  isManifestMediaType,
  manifestMediaType,
  parseManifestLinks,
} from '../../oci/descriptor.ts';
import { digestOf } from '../../oci/digest.ts';
import { OciError } from '../../oci/error.ts';

const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';
const OCI_IMAGE = 'application/vnd.oci.image.manifest.v1+json';
const OCI_ARTIFACT = 'application/vnd.oci.artifact.manifest.v1+json';
const DOCKER_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json';
const DOCKER_IMAGE = 'application/vnd.docker.distribution.manifest.v2+json';
const LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip';

const A = digestOf(Buffer.from('a'));
const B = digestOf(Buffer.from('b'));
const C = digestOf(Buffer.from('c'), 'sha512');

describe('isManifestMediaType', () => {
  test.each([OCI_INDEX, OCI_IMAGE, OCI_ARTIFACT, DOCKER_LIST, DOCKER_IMAGE])('knows %s', (mediaType) => {
    expect(isManifestMediaType(mediaType)).toBe(true);
    expect(MANIFEST_MEDIA_TYPES).toContain(mediaType);
  });

  test.each(['', 'text/html', LAYER, 'application/vnd.docker.distribution.manifest.v1+prettyjws', 'application/json'])(
    'does not take %j for a manifest',
    (mediaType) => {
      expect(isManifestMediaType(mediaType)).toBe(false);
    },
  );
});

describe('manifestMediaType', () => {
  test('is what the registry says, if that is a manifest', () => {
    expect(manifestMediaType(inside(OCI_IMAGE), DOCKER_IMAGE)).toBe(DOCKER_IMAGE);
  });

  test.each(['application/json', 'text/plain', ''])('is what the manifest says when the registry says %j', (told) => {
    expect(manifestMediaType(inside(OCI_INDEX), told)).toBe(OCI_INDEX);
  });

  test.each(['text/html', 7, null, undefined, [OCI_INDEX], {}])(
    'is left as it is when the manifest says %j',
    (says) => {
      expect(manifestMediaType(inside(says), 'application/json')).toBe('application/json');
    },
  );

  test.each(['', '<html>', '[]', 'null', '"x"'])('is not to be had of %j', (text) => {
    expect(() => manifestMediaType(Buffer.from(text), 'application/json')).toThrow(corrupt());
  });
});

describe('parseManifestLinks', () => {
  test.each([OCI_INDEX, DOCKER_LIST])('finds the manifests of a %s', (mediaType) => {
    const manifests = [
      { mediaType: OCI_IMAGE, digest: A, size: 7, platform: { architecture: 'amd64', os: 'linux' } },
      { mediaType: OCI_IMAGE, digest: C, size: 0 },
    ];
    expect(parse({ schemaVersion: 2, mediaType, manifests }, mediaType)).toEqual({
      manifests: [
        { mediaType: OCI_IMAGE, digest: A, sizeBytes: 7 },
        { mediaType: OCI_IMAGE, digest: C, sizeBytes: 0 },
      ],
      blobs: [],
    });
  });

  test.each([OCI_IMAGE, DOCKER_IMAGE])('finds config and layers of a %s', (mediaType) => {
    const config = { mediaType: 'application/x', digest: A, size: 1 };
    const layers = [{ mediaType: LAYER, digest: B, size: 2 }];
    expect(parse({ schemaVersion: 2, mediaType, config, layers }, mediaType)).toEqual({
      manifests: [],
      blobs: [
        { mediaType: 'application/x', digest: A, sizeBytes: 1 },
        { mediaType: LAYER, digest: B, sizeBytes: 2 },
      ],
    });
  });

  test('finds the blobs of an artifact', () => {
    expect(parse({ blobs: [{ mediaType: LAYER, digest: B, size: 2 }] }, OCI_ARTIFACT).blobs).toHaveLength(1);
  });

  test('does not need a media type inside', () => {
    expect(parse({ manifests: [{ mediaType: OCI_IMAGE, digest: A, size: 7 }] }, OCI_INDEX).manifests).toHaveLength(1);
  });

  test('never passes on the urls of foreign layers', () => {
    const layers = [{ mediaType: LAYER, digest: B, size: 2, urls: ['http://169.254.169.254/'] }];
    expect(JSON.stringify(parse({ layers }, OCI_IMAGE))).not.toContain('169.254');
  });

  test('refuses what is both an index and an image', () => {
    expect(() => parse({ manifests: [], layers: [] }, OCI_IMAGE)).toThrow(corrupt());
    expect(() => parse({ manifests: [], config: {} }, OCI_INDEX)).toThrow(corrupt());
  });

  test('refuses a manifest that calls itself something else', () => {
    expect(() => parse({ mediaType: OCI_IMAGE, layers: [] }, OCI_INDEX)).toThrow(corrupt());
  });

  test('judges a media type given twice by the one that other JSON readers take, the last', () => {
    const [right, wrong] = [`"mediaType":"${OCI_IMAGE}"`, `"mediaType":"${OCI_INDEX}"`];
    expect(() => parseManifestLinks(Buffer.from(`{${right},${wrong}}`), OCI_IMAGE)).toThrow(corrupt());
    expect(parseManifestLinks(Buffer.from(`{${wrong},${right}}`), OCI_IMAGE).blobs).toEqual([]);
  });

  test.each([
    ['nothing', ''],
    ['HTML', '<html><body>please log in</body></html>'],
    ['half of it', '{"schemaVersion":2,"layers":['],
    ['an array', '[]'],
    ['a number', '42'],
    ['a string', '"x"'],
    ['null', 'null'],
    ['a mile of brackets', '['.repeat(1_000_000)],
    ['a mile of objects', '{"a":'.repeat(500_000)],
    ['two documents', '{}{}'],
  ])('refuses %s', (_, text) => {
    expect(() => parseManifestLinks(Buffer.from(text), OCI_IMAGE)).toThrow(corrupt());
  });

  test('refuses bytes that are not UTF-8', () => {
    const bytes = Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}')]);
    expect(() => parseManifestLinks(bytes, OCI_IMAGE)).toThrow(corrupt());
  });

  test('survives what is deep and well-formed', () => {
    const deep = `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`;
    const bytes = Buffer.from(`{"annotations":${deep},"layers":[${deep},{"digest":"${A}","size":1}]}`);
    expect(parseManifestLinks(bytes, OCI_IMAGE).blobs).toEqual([{ mediaType: '', digest: A, sizeBytes: 1 }]);
  });

  test.each([
    ['a string', 'x'],
    ['a number', 5],
    ['null', null],
    ['an object', { 0: { digest: A, size: 1 }, length: 1 }],
    ['nothing', undefined],
  ])('takes %s in the place of a list for an empty one', (_, layers) => {
    expect(parse({ layers }, OCI_IMAGE).blobs).toEqual([]);
  });

  test.each([
    ['null', null],
    ['a string', A],
    ['a list', [{ digest: A, size: 1 }]],
    ['no digest', { size: 1 }],
    ['a digest that is a path', { digest: 'sha256:../../etc/passwd', size: 1 }],
    ['a digest that is a list', { digest: [A], size: 1 }],
    ['an upper-case digest', { digest: A.toUpperCase(), size: 1 }],
    ['no size', { digest: A }],
    ['a negative size', { digest: A, size: -1 }],
    ['half a byte', { digest: A, size: 0.5 }],
    ['a size that is text', { digest: A, size: '1' }],
    ['a size beyond exact numbers', { digest: A, size: 2 ** 53 }],
  ])('leaves out an entry that is %s', (_, entry) => {
    const good = { mediaType: LAYER, digest: B, size: 2 };
    expect(parse({ config: entry, layers: [entry, good, entry] }, OCI_IMAGE).blobs).toEqual([
      { mediaType: LAYER, digest: B, sizeBytes: 2 },
    ]);
  });

  test('has no media type where that is not text', () => {
    expect(parse({ layers: [{ mediaType: { x: 1 }, digest: A, size: 1 }] }, OCI_IMAGE).blobs[0]?.mediaType).toBe('');
  });

  test('names at most 10,000 objects', () => {
    const layers = Array.from({ length: 10_000 }, () => ({ digest: A, size: 1 }));
    expect(parse({ layers }, OCI_IMAGE).blobs).toHaveLength(10_000);
    expect(() => parse({ layers: [...layers, {}] }, OCI_IMAGE)).toThrow(corrupt());
  });

  test('is not fooled by names of the prototype', () => {
    const bytes = Buffer.from(`{"__proto__":{"layers":[{"digest":"${A}","size":1}]},"constructor":1}`);
    expect(parseManifestLinks(bytes, OCI_IMAGE)).toEqual({ manifests: [], blobs: [] });
  });

  test('answers any JSON with links or CORRUPT, nothing else', () => {
    const entry = fc.record({ digest: fc.oneof(fc.constant(A), fc.jsonValue()), size: fc.jsonValue() });
    const document = fc.dictionary(
      fc.constantFrom('mediaType', 'config', 'layers', 'manifests', 'blobs', '__proto__'),
      fc.oneof(fc.jsonValue(), fc.array(entry), entry),
    );
    fc.assert(
      fc.property(document, fc.constantFrom(...MANIFEST_MEDIA_TYPES), (value, mediaType) => {
        const { manifests, blobs } = parsedOrNothing(value, mediaType);
        for (const { digest, sizeBytes } of [...manifests, ...blobs]) {
          expect([digest, Number.isSafeInteger(sizeBytes) && sizeBytes >= 0]).toEqual([A, true]);
        }
        expect(manifests.length * blobs.length).toBe(0);
      }),
    );
  });

  test('reads a manifest of the largest size in a moment', () => {
    const layer = JSON.stringify({ mediaType: LAYER, digest: A, size: 1 });
    const text = `{"layers":[${Array.from({ length: 9_999 }, () => layer).join(',')}]`;
    const bytes = Buffer.from(`${text},"x":"${'y'.repeat(MAX_MANIFEST_BYTES - text.length - 8)}"}`);
    expect(bytes.length).toBe(MAX_MANIFEST_BYTES);
    const begin = performance.now();
    expect(parseManifestLinks(bytes, OCI_IMAGE).blobs).toHaveLength(9_999);
    expect(performance.now() - begin).toBeLessThan(5_000);
  });
});

function parsedOrNothing(value: unknown, mediaType: string): ManifestLinks {
  try {
    return parse(value, mediaType);
  } catch (error) {
    if (error instanceof OciError && error.code === 'CORRUPT') return { manifests: [], blobs: [] };
    throw error;
  }
}

function parse(value: unknown, mediaType: string): ManifestLinks {
  return parseManifestLinks(Buffer.from(JSON.stringify(value)), mediaType);
}

function corrupt(): OciError {
  return expect.objectContaining({ name: 'OciError', code: 'CORRUPT' }) as OciError;
}

function inside(mediaType: unknown): Uint8Array {
  return Buffer.from(JSON.stringify({ mediaType }));
}
