import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { IMAGE_CONFIG } from '../../scripts/image/image-config.ts';
import { LAYERS } from '../../scripts/image/root-layers.ts';

const dockerfile = readFileSync('Dockerfile', 'utf8');
const { version, dependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as {
  version: string;
  dependencies: Record<string, string>;
};

/** What follows an instruction where it stands last. */
function instruction(name: string): string {
  return (
    dockerfile
      .split('\n')
      .findLast((line) => line.startsWith(`${name} `))
      ?.slice(name.length + 1) ?? ''
  );
}

test('the Dockerfile makes an image that runs as the one that is made without Docker', () => {
  expect({
    User: instruction('USER'),
    Entrypoint: JSON.parse(instruction('ENTRYPOINT')) as unknown,
    Cmd: JSON.parse(instruction('CMD')) as unknown,
    WorkingDir: instruction('WORKDIR'),
    Env: instruction('ENV').split(' '),
    Labels: Object.fromEntries(
      instruction('LABEL')
        .split(' ')
        .map((pair) => pair.split('=')),
    ) as unknown,
  }).toEqual(IMAGE_CONFIG);
});

test('the Dockerfile takes the layers of that image, in their order', () => {
  const copied = dockerfile.matchAll(/^COPY --from=build \/image\/(\S+) \/$/gm);
  expect(Array.from(copied, ([, layer]) => layer)).toEqual(LAYERS);
});

test('the Dockerfile builds with the Node that circ runs on', () => {
  expect(/^FROM node:(\S+)-bookworm AS build$/m.exec(dockerfile)?.[1]).toBe(dependencies['node']);
});

test('the chart has the version of the programs', () => {
  expect(parse(readFileSync('manifests/circ/Chart.yaml', 'utf8'))).toMatchObject({ version, appVersion: version });
});
