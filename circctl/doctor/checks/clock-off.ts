import { askHealth } from '../ask-tier.ts';
import { type Check, ok, skipped } from '../check.ts';

/** What tokens, certificates and signatures forgive is of this order; answers tell whole seconds. */
const MOST_MS = 30_000;

/** A clock that is off makes tokens, certificates and grants look not yet valid, or over. */
export const clockOff: Check = {
  name: 'clock-off',
  async run(node) {
    const { dateMs } = await askHealth(node);
    if (dateMs === undefined) return skipped('the shared tier does not tell the time');
    const offMs = Date.now() - dateMs;
    const seconds = Math.round(Math.abs(offMs) / 1000);
    if (Math.abs(offMs) <= MOST_MS) return ok('the clock agrees with the shared tier’s');
    const way = offMs > 0 ? 'ahead of' : 'behind';
    const problem = `this node’s clock is ${seconds} s ${way} the shared tier’s: tokens and certificates will be refused`;
    const mend = [
      'see which of the two is wrong (date -u), and let it follow a time server (chronyc tracking, timedatectl)',
    ];
    return { kind: 'found', findings: [{ problem, mend }] };
  },
};
