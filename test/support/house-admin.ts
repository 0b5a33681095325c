import { AdminClient } from '../../circctl/admin-client.ts';
import type { PreheatObject__Output } from '../../proto/generated/circ/v1/PreheatObject.ts';
import type { PreheatRequest } from '../../proto/generated/circ/v1/PreheatRequest.ts';
import type { PreheatResponse__Output } from '../../proto/generated/circ/v1/PreheatResponse.ts';
import type { Address } from '../../service/units.ts';

/** The admin service of what listens there: `using admin = adminOf(house.tierGrpc)`. */
export function adminOf(grpc: Address): AdminClient {
  return new AdminClient(grpc);
}

/** What came of a preheating. */
export interface Preheated {
  readonly last: PreheatResponse__Output;
  readonly answers: readonly PreheatResponse__Output[];
  /** The last that was told of each object, by digest. */
  readonly objects: ReadonlyMap<string, PreheatObject__Output>;
}

/** Preheats to the end. @throws OciError */
export async function preheat(admin: AdminClient, request: PreheatRequest): Promise<Preheated> {
  const answers = await Array.fromAsync(admin.preheat(request));
  const last = answers.at(-1);
  if (last?.done !== true) throw new Error('it was not told that nothing more is tried');
  const objects = new Map(answers.flatMap(({ changed }) => changed).map((object) => [object.digest, object]));
  return { last, answers, objects };
}
