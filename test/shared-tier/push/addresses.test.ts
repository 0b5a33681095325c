import { describe, expect, test } from 'vitest';
import { digestOf } from '../../../oci/digest.ts';
import { Addresses, type Spelling } from '../../../shared-tier/push/addresses.ts';
import { Seal } from '../../../shared-tier/seal.ts';
import { APP, REGISTRY, failureOf } from '../fixtures.ts';

const KEY = Buffer.alloc(32, 7);
const D = digestOf(Buffer.from('x'));
const byNs: Spelling = { registry: REGISTRY, repository: APP, form: 'ns', name: APP };
const byPath: Spelling = { ...byNs, form: 'path', name: `${REGISTRY}/${APP}` };
const upload = { id: 'an-id', target: byNs, location: new URL('http://127.0.0.1:1/v2/x?a=b%20c'), offset: 5 };

function addressesOf(key = KEY, publicUrl?: string): Addresses {
  return new Addresses(new Seal(key, 'upload'), publicUrl === undefined ? undefined : new URL(publicUrl));
}

function stateOf(address: string): string {
  return new URL(address, 'http://any.test').searchParams.get('_state') ?? '';
}

describe('the addresses that pushers are told', () => {
  test('are relative, and spelled as the pusher spells them', () => {
    const addresses = addressesOf();
    expect(addresses.blob(byNs, D)).toBe(`/v2/${APP}/blobs/${D}?ns=${REGISTRY}`);
    expect(addresses.blob(byPath, D)).toBe(`/v2/${REGISTRY}/${APP}/blobs/${D}`);
    expect(addresses.manifest(byPath, D)).toBe(`/v2/${REGISTRY}/${APP}/manifests/${D}`);
  });

  test.each(['https://push.test', 'https://push.test/', 'https://push.test/circ/'])(
    'begin with %s if that is where pushers reach the tier',
    (url) => {
      const base = url.replace(/\/$/, '');
      expect(addressesOf(KEY, url).blob(byPath, D)).toBe(`${base}/v2/${REGISTRY}/${APP}/blobs/${D}`);
      expect(addressesOf(KEY, url).upload(upload)).toMatch(
        new RegExp(`^${base}/v2/${APP}/blobs/uploads/an-id\\?_state=`),
      );
    },
  );

  test('of an upload can be opened by every replica with the key, and by nobody else', async () => {
    const state = stateOf(addressesOf().upload(upload));
    expect(addressesOf().open({ name: APP, state })).toEqual(upload);
    for (const wrong of [
      { name: 'org/other', state },
      { name: APP, state: `${state.slice(0, -2)}xx` },
      { name: APP, state: '' },
    ]) {
      const failure = await failureOf(Promise.try(() => addressesOf().open(wrong)));
      expect(failure.code).toBe('BLOB_UPLOAD_UNKNOWN');
    }
    const other = await failureOf(Promise.try(() => addressesOf(Buffer.alloc(32, 8)).open({ name: APP, state })));
    expect(other.code).toBe('BLOB_UPLOAD_UNKNOWN');
  });
});
