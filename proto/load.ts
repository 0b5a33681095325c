import { fileURLToPath } from 'node:url';
import { loadPackageDefinition } from '@grpc/grpc-js';
import { type PackageDefinition, loadSync } from '@grpc/proto-loader';
import type { ProtoGrpcType as AdminProto } from './generated/admin.ts';
import type { ProtoGrpcType as SharedTierProto } from './generated/shared_tier.ts';

export const PROTO_FILES = ['shared_tier.proto', 'admin.proto'];

/** The types in proto/generated are made with exactly these: sizes are numbers (below 2^53), all fields have values. */
export const LOADER_OPTIONS = { keepCase: false, longs: Number, enums: String, defaults: true, oneofs: true } as const;

/** What the gRPC server's reflection describes. */
export function loadDefinition(): PackageDefinition {
  return loadSync(PROTO_FILES, {
    ...LOADER_OPTIONS,
    includeDirs: [fileURLToPath(new URL('.', import.meta.url))],
  });
}

/** The services of circ.v1. */
export function loadServices(definition = loadDefinition()): SharedTierProto['circ']['v1'] & AdminProto['circ']['v1'] {
  return (loadPackageDefinition(definition) as unknown as SharedTierProto & AdminProto).circ.v1;
}
