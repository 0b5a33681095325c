// Original file: proto/admin.proto

import type { PreheatObject as _circ_v1_PreheatObject, PreheatObject__Output as _circ_v1_PreheatObject__Output } from '../../circ/v1/PreheatObject.ts';
import type { Long } from '@grpc/proto-loader';

export interface PreheatResponse {
  'objects'?: (number);
  'objectsDone'?: (number);
  'objectsFailed'?: (number);
  'bytes'?: (number | string | Long);
  'bytesDone'?: (number | string | Long);
  'bytesFetched'?: (number | string | Long);
  'changed'?: (_circ_v1_PreheatObject)[];
  'done'?: (boolean);
}

export interface PreheatResponse__Output {
  'objects': (number);
  'objectsDone': (number);
  'objectsFailed': (number);
  'bytes': (number);
  'bytesDone': (number);
  'bytesFetched': (number);
  'changed': (_circ_v1_PreheatObject__Output)[];
  'done': (boolean);
}
