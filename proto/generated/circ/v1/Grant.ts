// Original file: proto/shared_tier.proto

import type { Long } from '@grpc/proto-loader';

export interface Grant {
  'token'?: (Buffer | Uint8Array | string);
  'validForMs'?: (number | string | Long);
}

export interface Grant__Output {
  'token': (Buffer);
  'validForMs': (number);
}
