// Original file: proto/admin.proto

import type { Long } from '@grpc/proto-loader';

export interface Repository {
  'registry'?: (string);
  'repository'?: (string);
  'blobs'?: (number | string | Long);
  'bytes'?: (number | string | Long);
  'pulls'?: (number | string | Long);
}

export interface Repository__Output {
  'registry': (string);
  'repository': (string);
  'blobs': (number);
  'bytes': (number);
  'pulls': (number);
}
