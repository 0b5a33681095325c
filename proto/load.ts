import { fileURLToPath } from 'node:url';
import { loadPackageDefinition } from '@grpc/grpc-js';
import { type PackageDefinition, loadSync } from '@grpc/proto-loader';
import type { ProtoGrpcType as AdminProto } from './generated/admin.ts';
import type { ProtoGrpcType as SharedTierProto } from './generated/shared_tier.ts';

export const PROTO_FILES = ['shared_tier.proto', 'admin.proto'];

/** The types in proto/generated are made with exactly these: sizes are numbers (below 2^53), all fields have values. */
export const LOADER_OPTIONS = { keepCase: false, longs: Number, enums: String, defaults: true, oneofs: true } as const;

type Services = SharedTierProto['circ']['v1'] & AdminProto['circ']['v1'];

// Files of the program itself: read once, though there is a client for each replica.
let definition: PackageDefinition | undefined;
let services: Services | undefined;

/** What the gRPC server's reflection describes. */
export function loadDefinition(): PackageDefinition {
  return (definition ??= loadSync(PROTO_FILES, {
    ...LOADER_OPTIONS,
    includeDirs: [fileURLToPath(new URL('.', import.meta.url))],
  }));
}

/** The services of circ.v1. */
export function loadServices(): Services {
  return (services ??= (loadPackageDefinition(loadDefinition()) as unknown as SharedTierProto & AdminProto).circ.v1);
}
