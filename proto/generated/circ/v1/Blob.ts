// Original file: proto/admin.proto

import type { Long } from '@grpc/proto-loader';

export interface Blob {
  'digest'?: (string);
  'size'?: (number | string | Long);
}

export interface Blob__Output {
  'digest': (string);
  'size': (number);
}
