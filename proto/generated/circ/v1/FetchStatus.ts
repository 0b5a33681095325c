// Original file: proto/admin.proto

import type { Long } from '@grpc/proto-loader';

export interface FetchStatus {
  'registry'?: (string);
  'repository'?: (string);
  'digest'?: (string);
  'size'?: (number | string | Long);
  'received'?: (number | string | Long);
  'waiters'?: (number);
  'ageMs'?: (number | string | Long);
}

export interface FetchStatus__Output {
  'registry': (string);
  'repository': (string);
  'digest': (string);
  'size': (number);
  'received': (number);
  'waiters': (number);
  'ageMs': (number);
}
