import { mkdir, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { CHECKS } from '../../../circctl/doctor/checks.ts';
import { circctl } from '../../support/run-circctl.ts';
import { CERTS, CONFIG, configWith, findingsOf, foundIn, healthyNode } from './fixtures.ts';

describe('on a node where all is well', () => {
  test('the doctor finds nothing, and says what it has looked at', async () => {
    await using node = await healthyNode();
    const diagnosis = await node.diagnose();
    expect(Object.keys(diagnosis)).toEqual(CHECKS.map(({ name }) => name));
    expect(new Set(Object.values(diagnosis).map(({ kind }) => kind))).toEqual(new Set(['ok']));
    const { code, out } = await circctl(['doctor', '--root', node.root], { env: node.env });
    expect(code).toBe(0);
    expect(out.split('\n')).toHaveLength(CHECKS.length + 1);
    expect(out).toContain('ok       containerd-too-old   containerd is 2.4.2\n');
  });

  test('what is found is told with how to mend it, and the exit code says so', async () => {
    await using node = await healthyNode();
    await node.put(`${CERTS}/quay.io/hosts.toml`, '[host');
    const { code, out } = await circctl(['doctor', '--root', node.root], { env: node.env });
    expect(code).toBe(1);
    expect(out).toContain('FOUND    broken-hosts-toml    /etc/containerd/certs.d/quay.io/hosts.toml is broken');
    expect(out).toContain('\n           mend it, or remove the file\n');
  });
});

describe('in the agent’s own pod, where nothing of containerd is but the directory of hosts.toml files', () => {
  test.each([CERTS, '/var/lib/rancher/k3s/agent/etc/containerd/certs.d'])(
    'the doctor finds nothing, and says what it cannot see, with %s',
    async (directory) => {
      await using node = await healthyNode({ certs: directory });
      await rm(join(node.root, CONFIG));
      await rm(join(node.root, '/usr/bin/containerd'));
      const diagnosis = await node.diagnose();
      expect(foundIn(diagnosis)).toEqual([]);
      const unseen = Object.entries(diagnosis).filter(([, { kind }]) => kind === 'skipped');
      expect(unseen.map(([name]) => name)).toEqual(['containerd-too-old', 'config-path']);
      expect(diagnosis['certs-directory']).toMatchObject({ told: expect.stringContaining(directory) as string });
      await node.put(`${directory}/quay.io/hosts.toml`, '[host');
      expect(foundIn(await node.diagnose())).toEqual(['broken-hosts-toml']);
    },
  );

  test('directories that this user may not look into are told, and not taken for none', async () => {
    await using node = await healthyNode();
    await mkdir(join(node.root, '/var/lib'), { recursive: true });
    await symlink('rancher', join(node.root, '/var/lib/rancher')); // root may look everywhere, but not down there
    const { code, err } = await circctl(['doctor', '--root', node.root], { env: node.env });
    expect(code).toBe(2);
    expect(err).toContain('/var/lib/rancher/k3s/agent/etc/containerd/config.toml cannot be looked at (ELOOP)');
  });

  test('--only looks for nothing else', async () => {
    await using node = await healthyNode();
    await rm(join(node.root, CONFIG));
    const diagnosis = await node.diagnose({}, ['--only', 'containerd-too-old', '--only', 'config-path']);
    expect(Object.entries(diagnosis).map(([name, { kind }]) => [name, kind])).toEqual([
      ['containerd-too-old', 'ok'],
      ['config-path', 'found'],
    ]);
  });
});

describe('the doctor finds', () => {
  test.each([
    ['unset', configWith('')],
    ['empty', configWith('config_path = ""')],
    ['set for another version of containerd', `version = 2\n${configWith(`config_path = "${CERTS}"`).slice(12)}`],
    ['in no file at all', undefined],
  ])('a config_path that is %s', async (_name, config) => {
    await using node = await healthyNode();
    if (config === undefined) await rm(join(node.root, CONFIG));
    else await node.put(CONFIG, config);
    const diagnosis = await node.diagnose();
    expect(foundIn(diagnosis)).toEqual(['config-path']);
    const [finding] = findingsOf(diagnosis, 'config-path');
    expect(finding?.problem).toContain('config_path is not set');
    expect(finding?.mend[0]).toContain(`set config_path = "${CERTS}"`);
  });

  test('a config_path that is a list', async () => {
    await using node = await healthyNode();
    await node.put(CONFIG, configWith(`config_path = "${CERTS}:/etc/docker/certs.d"`));
    const diagnosis = await node.diagnose();
    expect(foundIn(diagnosis)).toEqual(['config-path']);
    expect(findingsOf(diagnosis, 'config-path')[0]?.problem).toContain('is a list');
  });

  test.each([
    ['mirrors', 'cri.v1.images', ".mirrors.'docker.io']\nendpoint = ['https://x']"],
    ['configs.…tls', 'grpc.v1.cri', ".configs.'quay.io'.tls]\nca_file = '/ca.pem'"],
  ])('a config_path beside %s of the old way', async (what, plugin, old) => {
    await using node = await healthyNode();
    const registry = `[plugins.'io.containerd.${plugin}'.registry`;
    const version = plugin === 'grpc.v1.cri' ? 2 : 3;
    await node.put(CONFIG, `version = ${version}\n${registry}]\nconfig_path = "${CERTS}"\n${registry}${old}\n`);
    expect(findingsOf(await node.diagnose(), 'config-path')[0]?.problem).toContain(
      `registry.${what} cannot stand beside`,
    );
  });

  test('nothing wrong with logins beside a config_path, as k3s writes them there for its registries.yaml', async () => {
    await using node = await healthyNode();
    const login = `[plugins.'io.containerd.cri.v1.images'.registry.configs.'quay.io'.auth]\nusername = 'me'`;
    await node.put(CONFIG, configWith(`config_path = "${CERTS}"\n${login}`));
    expect(foundIn(await node.diagnose())).toEqual([]);
  });

  test.each([
    ['version = 3', 'io.containerd.cri.v1.images', 'io.containerd.cri.v1.images'],
    ['version = 2', 'io.containerd.grpc.v1.cri', 'io.containerd.grpc.v1.cri"."containerd'],
  ])(
    'nothing wrong with a list where unpacked layers are discarded, as on EKS, by %s',
    async (version, plugin, images) => {
      await using node = await healthyNode();
      const list = `[plugins."${plugin}".registry]\nconfig_path = "${CERTS}:/etc/docker/certs.d"\n`;
      await node.put(CONFIG, `${version}\n[plugins."${images}"]\ndiscard_unpacked_layers = true\n${list}`);
      expect(foundIn(await node.diagnose())).toEqual([]);
    },
  );

  test('a containerd configuration that cannot be parsed', async () => {
    await using node = await healthyNode();
    await node.put(CONFIG, 'version = ');
    expect(findingsOf(await node.diagnose(), 'config-path')[0]?.problem).toContain('cannot be read');
  });

  test('nothing wrong with a config_path of containerd 1, or one that is imported', async () => {
    await using node = await healthyNode();
    const old = `version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "${CERTS}"\n`;
    await node.put(CONFIG, old);
    expect(foundIn(await node.diagnose())).toEqual([]);
    await node.put(CONFIG, 'version = 3\nimports = ["conf.d/*.toml"]\n');
    await node.put('/etc/containerd/conf.d/circ.toml', configWith(`config_path = "${CERTS}"`));
    expect(foundIn(await node.diagnose())).toEqual([]);
  });

  test.each([
    ['an empty directory', undefined, 'without a hosts.toml'],
    ['another mirror', '[host."https://mirror.example"]\n  capabilities = ["pull"]\n', 'names other hosts first'],
  ])('_default shadowed by %s', async (_name, hosts, why) => {
    await using node = await healthyNode();
    await node.house.stopAgent(); // which would have mended it
    await node.put(`${CERTS}/quay.io/${hosts === undefined ? 'README' : 'hosts.toml'}`, hosts ?? 'nothing');
    const [finding] = findingsOf(await node.diagnose(), 'default-shadowed');
    expect(finding?.problem).toContain(`${CERTS}/quay.io/hosts.toml hides _default (`);
    expect(finding?.problem).toContain(why);
    expect(finding?.mend).toContain(`[host."http://${node.env.CIRC_AGENT_LISTEN}"]`);
  });

  test.each([
    ['cannot be parsed', '[host."http://x"]\ncapabilities = ["pull"', 'is broken'],
    ['begins with a byte order mark', '\uFEFFserver = "https://quay.io"\n', 'byte order mark'],
    [
      'names a certificate that is not there',
      'ca = "lost.crt"\n[host."http://x"]\n',
      'names lost.crt, which is not there',
    ],
  ])('a hosts.toml that %s', async (_name, hosts, problem) => {
    await using node = await healthyNode();
    await node.house.stopAgent();
    await node.put(`${CERTS}/quay.io/hosts.toml`, hosts);
    const [finding] = findingsOf(await node.diagnose(), 'broken-hosts-toml');
    expect(finding?.problem).toContain(`${CERTS}/quay.io/hosts.toml`);
    expect(finding?.problem).toContain(problem);
    expect(finding?.problem).toContain('all pulls from quay.io fail');
  });

  test.each([
    ['k3s', '/var/lib/rancher/k3s/agent/etc/containerd'],
    ['RKE2', '/var/lib/rancher/rke2/agent/etc/containerd'],
  ])('the directory of another distribution than %s', async (name, directory) => {
    await using node = await healthyNode();
    await node.put(`${directory}/config.toml`, configWith(`config_path = "${directory}/certs.d"`));
    const [finding, alone] = findingsOf(await node.diagnose(), 'certs-directory');
    expect(finding?.problem).toBe(
      `the agent writes its hosts.toml files to ${CERTS}, but ${name} reads those in ${directory}/certs.d`,
    );
    expect(finding?.mend).toContain(`set CIRC_CONTAINERD_CERTS_DIR=${directory}/certs.d`);
    expect(alone?.problem).toContain('nothing leads containerd to the agent');
  });

  test('GKE’s own directory, where config_path names it', async () => {
    await using node = await healthyNode();
    await node.put(CONFIG, configWith('config_path = "/etc/containerd/hosts.d"'));
    expect(findingsOf(await node.diagnose(), 'certs-directory')[0]?.problem).toContain(
      'reads those in /etc/containerd/hosts.d',
    );
  });

  test.each([
    ['1.4.13~ds1', 'containerd github.com/containerd/containerd 1.4.13~ds1 1.4.13~ds1-1'],
    ['1.5.11', 'containerd github.com/containerd/containerd v1.5.11 3df54a852345ae127d1fa3092b95168e4a88e2f8'],
  ])('containerd %s too old', async (version, said) => {
    await using node = await healthyNode();
    await node.put('/usr/bin/containerd', `#!/bin/sh\necho '${said}'\n`, 0o755);
    const diagnosis = await node.diagnose();
    expect(foundIn(diagnosis)).toEqual(['containerd-too-old']);
    expect(findingsOf(diagnosis, 'containerd-too-old')[0]?.problem).toContain(`containerd is ${version}`);
  });

  test.each([
    'containerd containerd.io 1.6.20 2806fc1057397dbaeefbea0e4e17bddfbd388f38',
    'containerd github.com/k3s-io/containerd v2.0.4-k3s2 ',
    'containerd github.com/containerd/containerd/v2 v10.0.0 x',
  ])('%s not too old', async (said) => {
    await using node = await healthyNode();
    await node.put('/usr/bin/containerd', `#!/bin/sh\necho '${said}'\n`, 0o755);
    expect(foundIn(await node.diagnose())).toEqual([]);
  });

  test('a disk with less free than is to be left', async () => {
    await using node = await healthyNode();
    const diagnosis = await node.diagnose({ CIRC_AGENT_MIN_FREE: '99.99%' });
    expect(foundIn(diagnosis)).toEqual(['disk-full']);
    expect(findingsOf(diagnosis, 'disk-full')[0]?.problem).toContain('is too full for the node cache');
  });
});
