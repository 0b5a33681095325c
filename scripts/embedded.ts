/** Defaults of `npm start` that are not those of the programs. */
export const EMBEDDED = {
  CIRC_AGENT_CACHE_DIR: './.circ/agent',
  CIRC_TIER_GRPC_LISTEN: '127.0.0.1:5060',
  CIRC_TIER_HTTP_LISTEN: '127.0.0.1:5061',
  CIRC_TIER_STATUS_LISTEN: '127.0.0.1:5062',
  CIRC_TIER_STORE: 'file://./.circ/tier',
  CIRC_TIER_LEASES: 'memory',
};
