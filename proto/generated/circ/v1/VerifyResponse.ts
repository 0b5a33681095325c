// Original file: proto/admin.proto

import type { Long } from '@grpc/proto-loader';

export interface VerifyResponse {
  'blobs'?: (number | string | Long);
  'bytes'?: (number | string | Long);
  'corrupt'?: (string)[];
  'unreadable'?: (string)[];
  'totalBlobs'?: (number | string | Long);
  'totalBytes'?: (number | string | Long);
  'done'?: (boolean);
}

export interface VerifyResponse__Output {
  'blobs': (number);
  'bytes': (number);
  'corrupt': (string)[];
  'unreadable': (string)[];
  'totalBlobs': (number);
  'totalBytes': (number);
  'done': (boolean);
}
