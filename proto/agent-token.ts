/**
 * gRPC metadata with the agent's ServiceAccount token. Never `authorization`: that is where clients' own credentials
 * for origins belong, and the two must not be taken for each other.
 */
export const AGENT_TOKEN = 'circ-agent-token';
