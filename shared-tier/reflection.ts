import type { Server } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';
import { protoPath } from 'grpc-health-check';
import { LOADER_OPTIONS, loadDefinition } from '../proto/load.ts';

type Service = Parameters<Server['addService']>;

let services: readonly Service[] | undefined;

/** Lets a server describe what it serves (https://grpc.io/docs/guides/reflection/). */
export function addReflection(server: Server): void {
  for (const service of (services ??= describe())) server.addService(...service);
}

/** Takes longer than all else at the start of a server, and is the same for all of them. */
function describe(): Service[] {
  const described: Service[] = [];
  const health = loadSync(protoPath, LOADER_OPTIONS);
  new ReflectionService({ ...loadDefinition(), ...health }).addToServer({
    addService: (...service) => described.push(service),
  });
  return described;
}
