import { Metadata } from '@grpc/grpc-js';
import { expect, test } from 'vitest';
import { GrpcTap } from './grpc-tap.ts';
import { startHouse } from './house.ts';

test('a tap hears all questions and answers, changes none, and can ask again', async () => {
  await using tap = new GrpcTap();
  await using house = await startHouse({ between: (tier) => tap.between(tier) });
  const { manifest } = await house.origin.addImage('org/app', 'v1', { layers: [Buffer.from('layer')] });
  await house.pull('org/app', 'v1');
  expect(new Set(tap.heard.map(({ method }) => method))).toEqual(new Set(['ResolveManifest', 'OpenBlob']));
  const [first] = tap.heard;
  expect(first?.response).toMatchObject({ manifest: { digest: manifest.digest } });
  expect(first && (await tap.say(first))).toMatchObject({ manifest: { digest: manifest.digest } });
  const request = { ...first?.request, reference: 'none' };
  expect(await tap.say({ method: 'ResolveManifest', request, metadata: new Metadata() })).toBe('NOT_FOUND');
});
