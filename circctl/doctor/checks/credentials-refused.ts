import { status } from '@grpc/grpc-js';
import { parseImageName } from '../../../oci/image-name.ts';
import { formatReference } from '../../../oci/reference.ts';
import { fromGrpcError } from '../../../proto/status.ts';
import { registryNames } from '../../../service/origins-file.ts';
import { askManifest, isUnreached } from '../ask-tier.ts';
import { type Check, type Finding, type Node, skipped, verdictOf } from '../check.ts';

const REFUSED = new Set([status.UNAUTHENTICATED, status.PERMISSION_DENIED]);

/** Is this node let in by the shared tier, and, with an image, its owner by the registry? */
export const credentialsRefused: Check = {
  name: 'credentials-refused',
  async run(node) {
    // Refused all the same: behind the door, because nothing was asked for.
    const asked = await askManifest(node);
    if (isUnreached(asked) && fromGrpcError(asked.error).cause) {
      return skipped('the shared tier cannot be asked; see tier-unreachable');
    }
    if (asked.error && REFUSED.has(asked.error.code)) {
      const problem = `the shared tier refuses this node: ${asked.error.details}`;
      const mend = [
        'CIRC_TIER_CLIENTS of the shared tier has to list who this is, and its audience be that of the token',
        'CIRC_TIER_TOKEN_FILE (or CIRC_TLS_CERT_FILE) here has to be the agent’s own',
      ];
      return { kind: 'found', findings: [{ problem, mend }] };
    }
    const findings = node.image === undefined ? [] : await ofImage(node, node.image);
    const told = node.image === undefined ? '' : `, and the registry gives ${node.image.name}`;
    return verdictOf(findings, `the shared tier lets this node in${told}`);
  },
};

async function ofImage(node: Node, { name, authorization }: NonNullable<Node['image']>): Promise<Finding[]> {
  const { registry, repository, reference } = parseImageName(name, registryNames(node.agent.origins));
  const asked = await askManifest(node, {
    target: { registry, repository },
    reference: formatReference(reference),
    authorization,
    form: 'FORM_NS',
  });
  if (!asked.error) return [];
  const { code, message } = fromGrpcError(asked.error);
  if (code === 'UNAUTHORIZED' || code === 'MANIFEST_UNKNOWN') {
    const who = authorization === '' ? 'without credentials' : 'to these credentials';
    return [
      {
        problem: `the registry does not give ${name} ${who}`,
        mend: [
          `check the name, and that the account may pull it: crane manifest ${name}`,
          'the pod’s imagePullSecrets need an entry for exactly this registry’s host',
        ],
      },
    ];
  }
  const mend = ['see the shared tier’s log; CIRC_ORIGINS has to list registries at private addresses'];
  return [{ problem: `the shared tier cannot get ${name}: ${message}`, mend }];
}
