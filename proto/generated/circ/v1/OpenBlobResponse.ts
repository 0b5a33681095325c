// Original file: proto/shared_tier.proto

import type { Grant as _circ_v1_Grant, Grant__Output as _circ_v1_Grant__Output } from '../../circ/v1/Grant.ts';
import type { Long } from '@grpc/proto-loader';

export interface OpenBlobResponse {
  'size'?: (number | string | Long);
  'readUrl'?: (string);
  'validForMs'?: (number | string | Long);
  'fromOrigin'?: (boolean);
  'grant'?: (_circ_v1_Grant | null);
  'passedThrough'?: (boolean);
}

export interface OpenBlobResponse__Output {
  'size': (number);
  'readUrl': (string);
  'validForMs': (number);
  'fromOrigin': (boolean);
  'grant': (_circ_v1_Grant__Output | null);
  'passedThrough': (boolean);
}
