import { distrustIn } from '../../../agent/tier-trust.ts';
import { formatAddress } from '../../../service/units.ts';
import { detailsOf } from '../../explain.ts';
import { askHealth } from '../ask-tier.ts';
import { type Check, ok } from '../check.ts';

/** Without the shared tier every pull goes to the registry. */
export const tierUnreachable: Check = {
  name: 'tier-unreachable',
  async run(node) {
    const address = formatAddress(node.access.sharedTier);
    const { error } = await askHealth(node);
    if (!error) return ok(`the shared tier at ${address} serves`);
    const distrust = distrustIn(error);
    const problem = distrust
      ? `this node and the shared tier at ${address} do not trust each other: ${distrust.reason}`
      : `the shared tier at ${address} cannot be reached: ${detailsOf(error)}`;
    const mend = distrust
      ? [distrust.whatToDo]
      : [
          'check that CIRC_SHARED_TIER is the shared tier’s Service and its gRPC port, and that its pods are ready',
          'check that a NetworkPolicy, or a firewall, lets the nodes’ own addresses in (agents use the host’s network)',
        ];
    return { kind: 'found', findings: [{ problem, mend }] };
  },
};
