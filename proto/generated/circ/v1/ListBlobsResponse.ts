// Original file: proto/admin.proto

import type { Blob as _circ_v1_Blob, Blob__Output as _circ_v1_Blob__Output } from '../../circ/v1/Blob.ts';

export interface ListBlobsResponse {
  'blobs'?: (_circ_v1_Blob)[];
  'nextPageToken'?: (string);
}

export interface ListBlobsResponse__Output {
  'blobs': (_circ_v1_Blob__Output)[];
  'nextPageToken': (string);
}
