import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { get } from '../../scripts/lab/http.ts';
import { AGENT_URL, REGISTRY } from '../../scripts/lab/lab.ts';
import { toolPath } from '../../scripts/lab/tools.ts';
import { openLab } from './support.ts';

const APP = 'org/app';
const SBOM = 'application/vnd.lab.sbom';

test('oras lists the tags of a repository, and what is attached to an image, at the agent', async () => {
  await using lab = await openLab({ isOriginEmpty: true });
  const env = { PATH: process.env['PATH'], HOME: lab.directory };
  const oras = async (...args: readonly string[]): Promise<string> =>
    (await lab.node.run([toolPath('oras'), ...args], { env, cwd: lab.directory })).stdout.trim();
  await writeFile(join(lab.directory, 'file.txt'), 'a file');
  const origin = `${lab.origin.address}/${APP}`;
  for (const tag of ['v1', 'v2']) await oras('push', '--plain-http', `${origin}:${tag}`, 'file.txt');
  await oras('attach', '--plain-http', '--artifact-type', SBOM, `${origin}:v1`, 'file.txt');

  const here = `${new URL(AGENT_URL).host}/${REGISTRY}/${APP}`;
  const told = await oras('repo', 'tags', '--plain-http', here);
  expect(told).toBe(await oras('repo', 'tags', '--plain-http', origin));
  expect(told.split('\n')).toEqual(expect.arrayContaining(['v1', 'v2']));

  const discover = async (at: string): Promise<unknown> => {
    const { digest, referrers } = JSON.parse(await oras('discover', '--plain-http', '--format', 'json', at));
    return {
      digest,
      referrers: referrers.map((each: Record<string, string>) => [each['digest'], each['artifactType']]),
    };
  };
  const found = await discover(`${here}:v1`);
  expect(found).toEqual(await discover(`${origin}:v1`));
  expect(found).toMatchObject({ referrers: [[expect.stringMatching(/^sha256:/), SBOM]] });

  // As containerd asks, page by page.
  const { digest } = found as { digest: string };
  let tags: string[] = [];
  let next: string | undefined = `/v2/${APP}/tags/list?n=1&ns=${REGISTRY}`;
  for (let pages = 0; next !== undefined && pages < 5; pages += 1) {
    const page = await get(lab.node, `${AGENT_URL}${next}`);
    expect(page.status).toBe(200);
    tags = [...tags, ...(JSON.parse(page.body) as { tags: string[] }).tags];
    next = /^<(\/v2\/[^>]+)>; rel="next"$/.exec(page.link)?.[1];
  }
  expect(tags).toEqual(told.split('\n'));
  const referrers = await get(lab.node, `${AGENT_URL}/v2/${APP}/referrers/${digest}?artifactType=none&ns=${REGISTRY}`);
  expect([referrers.status, JSON.parse(referrers.body)]).toMatchObject([200, { manifests: [] }]);

  // All of it was told by the registry, each time, and the node has asked for none of it there by itself.
  const requests = (await lab.origin.requests()).filter(({ path }) => path.includes('/tags/list'));
  expect(requests.filter(({ client }) => client === lab.network.hub.address).length).toBeGreaterThanOrEqual(4);
});
