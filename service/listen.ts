import type { FastifyInstance } from 'fastify';
import type { Address } from './units.ts';

/**
 * Who has connected and is not accepted yet. Nodes come together, each with several reads, while the program may be busy;
 * where there is no room their connections are tried again only after a second. The system may have a lower bound.
 */
const BACKLOG = 4_096;

/** Listens, and tells where: port 0 becomes the port that the system chose. */
export async function listenOn(app: FastifyInstance, address: Address): Promise<Address> {
  await app.listen({ ...address, backlog: BACKLOG });
  const bound = app.server.address();
  return { host: address.host, port: typeof bound === 'object' && bound ? bound.port : address.port };
}
