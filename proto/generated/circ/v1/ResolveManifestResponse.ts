// Original file: proto/shared_tier.proto

import type { Descriptor as _circ_v1_Descriptor, Descriptor__Output as _circ_v1_Descriptor__Output } from '../../circ/v1/Descriptor.ts';
import type { Grant as _circ_v1_Grant, Grant__Output as _circ_v1_Grant__Output } from '../../circ/v1/Grant.ts';

export interface ResolveManifestResponse {
  'manifest'?: (_circ_v1_Descriptor | null);
  'content'?: (Buffer | Uint8Array | string);
  'grant'?: (_circ_v1_Grant | null);
  'readable'?: (_circ_v1_Descriptor)[];
  'fromOrigin'?: (boolean);
}

export interface ResolveManifestResponse__Output {
  'manifest': (_circ_v1_Descriptor__Output | null);
  'content': (Buffer);
  'grant': (_circ_v1_Grant__Output | null);
  'readable': (_circ_v1_Descriptor__Output)[];
  'fromOrigin': (boolean);
}
