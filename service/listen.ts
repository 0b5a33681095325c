import type { FastifyInstance } from 'fastify';
import type { Address } from './units.ts';

/** Listens, and tells where: port 0 becomes the port that the system chose. */
export async function listenOn(app: FastifyInstance, address: Address): Promise<Address> {
  await app.listen(address);
  const bound = app.server.address();
  return { host: address.host, port: typeof bound === 'object' && bound ? bound.port : address.port };
}
