// Original file: proto/admin.proto

import type { FetchStatus as _circ_v1_FetchStatus, FetchStatus__Output as _circ_v1_FetchStatus__Output } from '../../circ/v1/FetchStatus.ts';

export interface WatchFetchesResponse {
  'fetches'?: (_circ_v1_FetchStatus)[];
  'total'?: (number);
}

export interface WatchFetchesResponse__Output {
  'fetches': (_circ_v1_FetchStatus__Output)[];
  'total': (number);
}
