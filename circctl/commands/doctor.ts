import { statSync } from 'node:fs';
import { readAgentConfig } from '../../agent/config.ts';
import { Authorization } from '../../oci/authorization.ts';
import { type Call, type Command, UsageError, oneOf } from '../command.ts';
import type { Node, Verdict } from '../doctor/check.ts';
import { CHECKS } from '../doctor/checks.ts';
import { type ContainerdConfig, readContainerdConfig } from '../doctor/containerd-config.ts';
import { findContainerd } from '../doctor/containerd-program.ts';
import { plain } from '../terminal.ts';

/** Looks for the commonest mistakes on a node. */
export const doctor: Command = {
  summary: 'find the commonest mistakes on this node, and how to mend them',
  synopsis: '',
  options: {
    root: {
      type: 'string',
      value: 'DIR',
      meaning: 'where the node’s file system is seen; /host in kubectl debug node/…',
    },
    'containerd-config': {
      type: 'string',
      value: 'FILE',
      meaning: 'containerd’s configuration, if not where it usually is',
    },
    containerd: { type: 'string', value: 'PROGRAM', meaning: 'containerd itself, if not where it usually is' },
    only: { type: 'string', multiple: true, value: 'CHECK', meaning: 'look for this only; may be given several times' },
    image: { type: 'string', value: 'IMAGE', meaning: 'see as well whether this can be had from its registry' },
    username: { type: 'string', value: 'NAME', meaning: 'for --image: of an account there' },
    'password-stdin': { type: 'boolean', meaning: 'read its password from standard input' },
  },
  details:
    'Run it on a node with the agent’s settings. It changes nothing.\n' +
    `It looks for: ${CHECKS.map(({ name }) => name).join(', ')}.\nExit code 1: something was found.`,
  args: [0, 0],
  async run(call) {
    const names = CHECKS.map(({ name }) => name);
    const only = new Set(call.texts('only').map((name) => oneOf(names, name, 'only')));
    const node = await nodeOf(call);
    let isFound = false;
    for (const check of CHECKS) {
      if (only.size > 0 && !only.has(check.name)) continue;
      const { name } = check;
      const verdict = await check.run(node);
      isFound ||= verdict.kind === 'found';
      if (call.isJson) call.json({ check: name, ...verdict });
      else call.terminal.out(describe(name, verdict));
    }
    return isFound ? 1 : 0;
  },
};

async function nodeOf(call: Call): Promise<Node> {
  const { env, serverName, tier } = call;
  const agent = readAgentConfig({ ...env, ...(tier !== undefined && { CIRC_SHARED_TIER: tier }) });
  const root = (call.text('root') ?? '').replace(/\/+$/, '');
  if (root !== '' && !statSync(root, { throwIfNoEntry: false })?.isDirectory()) {
    throw new UsageError(`--root ${root} is no directory`);
  }
  const containerdProgram = call.text('containerd') ?? findContainerd(root, env['PATH'] ?? '');
  const name = call.text('image');
  const username = call.text('username');
  if ((username !== undefined) !== call.flag('password-stdin')) {
    throw new UsageError('--username and --password-stdin go together');
  }
  const password = username === undefined ? '' : await call.terminal.input();
  const authorization = username === undefined ? '' : Authorization.basic({ username, password }).header;
  return {
    root,
    agent,
    access: { sharedTier: agent.sharedTier, tls: agent.tierTls, tokenFile: agent.tokenFile },
    serverName,
    containerd: containerdOf(call, root, containerdProgram === undefined ? agent.certsDirectory : undefined),
    containerdProgram,
    image: name === undefined ? undefined : { name, authorization },
  };
}

/** @param certsDirectory in a pod, of which the agent alone knows what its containerd reads */
function containerdOf(call: Call, root: string, certsDirectory: string | undefined): ContainerdConfig {
  const config = readContainerdConfig(root, call.text('containerd-config'));
  if (config.file !== undefined || certsDirectory === undefined) return config;
  return { ...config, distribution: { ...config.distribution, certsDirectory } };
}

const WIDTH = Math.max(...CHECKS.map(({ name }) => name.length));

function describe(name: string, verdict: Verdict): string {
  const line = (state: string, text: string): string => `${state.padEnd(7)}  ${name.padEnd(WIDTH)}  ${plain(text)}\n`;
  if (verdict.kind === 'ok') return line('ok', verdict.told);
  if (verdict.kind === 'skipped') return line('skipped', verdict.why);
  return verdict.findings
    .map(({ problem, mend }) => line('FOUND', problem) + mend.map((step) => `           ${plain(step)}\n`).join(''))
    .join('');
}
