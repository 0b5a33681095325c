// Original file: proto/admin.proto

import type { PreheatState as _circ_v1_PreheatState, PreheatState__Output as _circ_v1_PreheatState__Output } from '../../circ/v1/PreheatState.ts';
import type { Long } from '@grpc/proto-loader';

export interface PreheatObject {
  'digest'?: (string);
  'mediaType'?: (string);
  'size'?: (number | string | Long);
  'received'?: (number | string | Long);
  'state'?: (_circ_v1_PreheatState);
  'error'?: (string);
}

export interface PreheatObject__Output {
  'digest': (string);
  'mediaType': (string);
  'size': (number);
  'received': (number);
  'state': (_circ_v1_PreheatState__Output);
  'error': (string);
}
