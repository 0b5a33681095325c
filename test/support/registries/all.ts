import { artifactRegistry } from './artifact-registry.ts';
import { azure } from './azure.ts';
import { dockerHub } from './docker-hub.ts';
import { ecr } from './ecr.ts';
import { ecrPublic } from './ecr-public.ts';
import { ghcr } from './ghcr.ts';
import { gitlab } from './gitlab.ts';
import { harbor } from './harbor.ts';
import { kubernetes } from './kubernetes.ts';
import { microsoft } from './microsoft.ts';
import { nvcr } from './nvcr.ts';
import { quay } from './quay.ts';
import type { RegistryKind } from './registry.ts';

/** Every registry whose ways are played, for tests that go through all of them. */
export const REGISTRIES: readonly RegistryKind[] = [
  dockerHub,
  ghcr,
  quay,
  ecr,
  ecrPublic,
  artifactRegistry,
  gitlab,
  harbor,
  nvcr,
  kubernetes,
  microsoft,
  azure,
];
