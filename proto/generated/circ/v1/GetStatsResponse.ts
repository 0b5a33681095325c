// Original file: proto/admin.proto

import type { Long } from '@grpc/proto-loader';

export interface GetStatsResponse {
  'blobs'?: (number | string | Long);
  'bytes'?: (number | string | Long);
  'capacityBytes'?: (number | string | Long);
  'originBytes'?: (number | string | Long);
  'servedBytes'?: (number | string | Long);
  'fetchesInFlight'?: (number);
  'hits'?: (number | string | Long);
  'misses'?: (number | string | Long);
  'originRequests'?: (number | string | Long);
  'waiters'?: (number);
  'agents'?: (number);
  'version'?: (string);
  'uptimeMs'?: (number | string | Long);
  'replica'?: (string);
  'store'?: (string);
}

export interface GetStatsResponse__Output {
  'blobs': (number);
  'bytes': (number);
  'capacityBytes': (number);
  'originBytes': (number);
  'servedBytes': (number);
  'fetchesInFlight': (number);
  'hits': (number);
  'misses': (number);
  'originRequests': (number);
  'waiters': (number);
  'agents': (number);
  'version': (string);
  'uptimeMs': (number);
  'replica': (string);
  'store': (string);
}
