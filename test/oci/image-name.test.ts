import { describe, expect, test } from 'vitest';
import { OciError } from '../../oci/error.ts';
import { formatImageName, parseImageName, parsePlace } from '../../oci/image-name.ts';
import { DOCKER_HUB } from '../../oci/reference.ts';

const NAMES = { default: DOCKER_HUB, isListed: (name: string) => name === 'lab' };
const DIGEST = `sha256:${'a'.repeat(64)}`;

describe('the name of an image', () => {
  test.each([
    ['busybox', 'docker.io/library/busybox:latest'],
    ['org/app:v1', 'docker.io/org/app:v1'],
    ['docker.io/busybox:1.36', 'docker.io/library/busybox:1.36'],
    ['quay.io/org/app', 'quay.io/org/app:latest'],
    ['registry.lab:5000/org/app:v1', 'registry.lab:5000/org/app:v1'],
    ['localhost/app:v1', 'localhost/app:v1'],
    ['lab/app:v1', 'lab/app:v1'],
    [`quay.io/org/app@${DIGEST}`, `quay.io/org/app@${DIGEST}`],
    [`quay.io/org/app:v1@${DIGEST}`, `quay.io/org/app@${DIGEST}`],
    ['QUAY.io:443/org/app:v1', 'quay.io/org/app:v1'],
  ])('%s means %s', (text, meaning) => {
    expect(formatImageName(parseImageName(text, NAMES))).toBe(meaning);
  });

  test('is told apart from a registry by its component alone', () => {
    expect(parsePlace('lab/app', NAMES)).toEqual({ registry: 'lab', repository: 'app' });
    expect(parsePlace('other/app', NAMES)).toEqual({ registry: 'docker.io', repository: 'other/app' });
  });

  test.each([
    '',
    ':v1',
    'quay.io/',
    'quay.io/org/App',
    'quay.io/org/app:',
    'quay.io/org/app:-',
    'quay.io/org/app@v1',
    'quay.io/org/app@',
    `quay.io/org/app@${DIGEST}@${DIGEST}`,
    'https://quay.io/org/app',
    'user:password@quay.io/org/app',
    'quay.io/org/app\n:v1',
    '../app',
  ])('is not %j', (text) => {
    expect(() => parseImageName(text, NAMES)).toThrow(OciError);
  });
});
