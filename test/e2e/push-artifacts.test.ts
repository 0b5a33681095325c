import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { expect, test } from 'vitest';
import { AGENT_URL, type Lab, REGISTRY } from '../../scripts/lab/lab.ts';
import type { Namespace } from '../../scripts/lab/network.ts';
import { toolPath } from '../../scripts/lab/tools.ts';
import { blobReadsDuring, openLab } from './support.ts';

const MODEL_BYTES = 400e6;
const SBOM = 'application/vnd.lab.sbom';
const SIGNATURE = 'application/vnd.dev.cosign.artifact.sig.v1+json';

test('a model of some hundred MB is pushed with oras, and read on a node without a blob being read at the origin', async () => {
  await using lab = await openLab({ isOriginEmpty: true });
  const tools = toolsOf(lab);
  await tools.run(lab.network.hub, 'sh', '-c', `head -c ${MODEL_BYTES} /dev/urandom > model.safetensors`);
  await tools.oras(lab.network.hub, 'push', '--plain-http', `${tierOf(lab)}/org/model:1`, 'model.safetensors');
  expect(await lab.blobs('org/model:1')).toMatchObject([{}, { size: MODEL_BYTES }]);

  const here = join(lab.directory, 'here');
  const pull = async (): Promise<unknown> =>
    await tools.oras(lab.node, 'pull', '--plain-http', '--output', here, `${NODE}/org/model:1`);
  expect(await blobReadsDuring(lab, pull)).toEqual([]);
  expect(await sha256(join(here, 'model.safetensors'))).toBe(await sha256(join(lab.directory, 'model.safetensors')));
});

test('a Helm chart is pushed and pulled with helm', async () => {
  await using lab = await openLab({ isOriginEmpty: true });
  const tools = toolsOf(lab);
  const helm = toolPath('helm');
  await tools.run(lab.network.hub, helm, 'create', 'app');
  await tools.run(lab.network.hub, helm, 'package', 'app', '--version', '1.2.3');
  await tools.run(lab.network.hub, helm, 'push', '--plain-http', 'app-1.2.3.tgz', `oci://${tierOf(lab)}/charts`);

  const here = join(lab.directory, 'here');
  await mkdir(here);
  const pull = async (): Promise<unknown> =>
    await tools.run(
      lab.node,
      helm,
      'pull',
      '--plain-http',
      `oci://${NODE}/charts/app`,
      '--version',
      '1.2.3',
      '-d',
      here,
    );
  expect(await blobReadsDuring(lab, pull)).toEqual([]);
  const chart = await readFile(join(lab.directory, 'app-1.2.3.tgz'));
  expect((await readFile(join(here, 'app-1.2.3.tgz'))).equals(chart)).toBe(true);
});

test('signatures and SBOMs are attached to an image through the tier, by referrers and by tag, and found again', async () => {
  await using lab = await openLab({ isOriginEmpty: true });
  const tools = toolsOf(lab);
  const { hub } = lab.network;
  const app = `${tierOf(lab)}/org/app`;
  for (const name of ['layer.txt', 'sbom.json', 'signature.json']) {
    await writeFile(join(lab.directory, name), `the ${name}`);
  }
  await tools.oras(hub, 'push', '--plain-http', `${app}:1`, 'layer.txt');
  await tools.oras(hub, 'attach', '--plain-http', '--artifact-type', SBOM, `${app}:1`, 'sbom.json');
  await tools.oras(hub, 'attach', '--plain-http', '--artifact-type', SIGNATURE, `${app}:1`, 'signature.json');
  // As cosign has kept signatures for long: under a tag made from the digest.
  const tag = (await lab.digest('org/app:1')).replace(':', '-');
  await tools.oras(hub, 'push', '--plain-http', `${app}:${tag}.sig`, 'signature.json');

  const discovered = async (namespace: Namespace, at: string): Promise<string[]> => {
    const { referrers } = JSON.parse(
      await tools.oras(namespace, 'discover', '--plain-http', '--format', 'json', at),
    ) as {
      referrers: { artifactType: string }[];
    };
    return referrers.map(({ artifactType }) => artifactType).toSorted((a, b) => a.localeCompare(b));
  };
  const expected = [SIGNATURE, SBOM];
  expect(await discovered(hub, `${app}:1`)).toEqual(expected);
  expect(await discovered(lab.originNode, `${lab.origin.address}/org/app:1`)).toEqual(expected);
  const here = join(lab.directory, 'here');
  const read = async (): Promise<unknown> =>
    await tools.oras(lab.node, 'pull', '--plain-http', '--output', here, `${NODE}/org/app:${tag}.sig`);
  expect(await blobReadsDuring(lab, read)).toEqual([]);
  expect(await readFile(join(here, 'signature.json'), 'utf8')).toBe('the signature.json');
});

test('an image is signed with cosign through the tier, and its signature verified there, at the origin and on a node', async () => {
  await using lab = await openLab({ isOriginEmpty: true });
  const tools = toolsOf(lab);
  const { hub } = lab.network;
  await writeFile(join(lab.directory, 'layer.txt'), 'the layer');
  await tools.oras(hub, 'push', '--plain-http', `${tierOf(lab)}/org/app:1`, 'layer.txt');
  const image = `org/app@${await lab.digest('org/app:1')}`;
  for (const prefix of ['cosign', 'other']) {
    await tools.cosign(hub, 'generate-key-pair', '--output-key-prefix', prefix);
  }
  // Without the public transparency log: there is no way to it.
  const noLog = ['--tlog-upload=false', '--use-signing-config=false'];
  await tools.cosign(hub, 'sign', '--yes', '--key', 'cosign.key', ...noLog, PLAIN, `${tierOf(lab)}/${image}`);

  const verify = async (namespace: Namespace, at: string, key = 'cosign.pub'): Promise<string> =>
    await tools.cosign(namespace, 'verify', '--key', key, '--insecure-ignore-tlog', PLAIN, `${at}/${image}`);
  const signed = image.slice(image.indexOf('@') + 1);
  expect(await verify(hub, tierOf(lab))).toContain(signed);
  expect(await verify(lab.originNode, lab.origin.address)).toContain(signed);
  const onNode = async (): Promise<unknown> => expect(await verify(lab.node, NODE)).toContain(signed);
  expect(await blobReadsDuring(lab, onNode)).toEqual([]);
  await expect(verify(hub, tierOf(lab), 'other.pub')).rejects.toThrow(/accepted signatures do not match/);
});

const PLAIN = '--allow-http-registry';

/** The registry as clients of a node name it. */
const NODE = `${new URL(AGENT_URL).host}/${REGISTRY}`;

/** The registry as pushers name it. */
function tierOf({ network }: Lab): string {
  return `${network.hub.address}:5061/${REGISTRY}`;
}

/** Programs that run in the lab's directory. */
function toolsOf(lab: Lab) {
  const env = { PATH: process.env['PATH'], HOME: lab.directory, COSIGN_PASSWORD: '' };
  const run = async (where: Namespace, ...argv: readonly string[]): Promise<string> =>
    (await where.run(argv, { env, cwd: lab.directory, timeoutMs: 240_000 })).stdout.trim();
  return {
    run,
    cosign: async (where: Namespace, ...args: readonly string[]) => await run(where, toolPath('cosign'), ...args),
    oras: async (where: Namespace, ...args: readonly string[]) => await run(where, toolPath('oras'), ...args),
  };
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}
