import { readFileSync } from 'node:fs';
import { Agent, request } from 'undici';
import { mirrorAt } from '../../../agent/hosts/mirror.ts';
import { formatAddress } from '../../../service/units.ts';
import { type Check, type Node, type Verdict, ok } from '../check.ts';
import { whoListens } from '../who-listens.ts';

const ANSWER_MS = 3_000;
/** No registry has such an endpoint, and only circ says so in these words. */
const PROBE = '/v2/circctl-doctor';

/** Who listens where containerd looks for the agent: the agent, somebody else, or nobody? */
export const portTaken: Check = {
  name: 'port-taken',
  async run(node) {
    const { listen } = node.agent;
    const answer = await answerAt(node).catch((error: unknown) => error as NodeJS.ErrnoException);
    if (answer === 'circ') return ok(`the agent answers at ${formatAddress(listen)}`);
    const who = await whoListens(listen.port);
    if (answer instanceof Error && answer.code === 'ECONNREFUSED' && who === undefined) return nobody(node);
    const by = who === undefined ? 'something else' : who;
    const problem = `${formatAddress(listen)} is taken by ${by}, which is no circ agent: containerd asks that for images`;
    const mend = [
      'end it, or give the agent another port: run it with --uninstall once, then set CIRC_AGENT_LISTEN',
      'who listens there can ask containerd for pull secrets',
    ];
    return { kind: 'found', findings: [{ problem, mend }] };
  },
};

function nobody({ agent }: Node): Verdict {
  const problem = `nobody listens at ${formatAddress(agent.listen)}: the agent does not run, and pulls go to the registries`;
  const mend = ['start the agent; if it ends at once, its log says why (kubectl logs, journalctl -u circ-agent)'];
  return { kind: 'found', findings: [{ problem, mend }] };
}

async function answerAt({ agent }: Node): Promise<'circ' | 'other'> {
  const { url } = mirrorAt(agent.listen, agent.mirrorTls);
  const { certFile } = agent.mirrorTls;
  const ca = certFile === undefined ? undefined : readFileSync(certFile, 'utf8');
  const dispatcher = new Agent({ connect: { ...(ca !== undefined && { ca }), timeout: ANSWER_MS } });
  try {
    const signal = AbortSignal.timeout(ANSWER_MS);
    const { statusCode, body } = await request(`${url}${PROBE}`, { dispatcher, signal });
    const text = await body.text();
    return statusCode === 404 && text.includes('ENDPOINT_UNKNOWN') ? 'circ' : 'other';
  } finally {
    await dispatcher.destroy();
  }
}
