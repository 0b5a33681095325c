// Original file: proto/admin.proto

import type { Long } from '@grpc/proto-loader';

export interface EvictResponse {
  'blobs'?: (number | string | Long);
  'bytes'?: (number | string | Long);
}

export interface EvictResponse__Output {
  'blobs': (number);
  'bytes': (number);
}
