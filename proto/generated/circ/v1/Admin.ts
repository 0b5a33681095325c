// Original file: proto/admin.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { EvictRequest as _circ_v1_EvictRequest, EvictRequest__Output as _circ_v1_EvictRequest__Output } from '../../circ/v1/EvictRequest.ts';
import type { EvictResponse as _circ_v1_EvictResponse, EvictResponse__Output as _circ_v1_EvictResponse__Output } from '../../circ/v1/EvictResponse.ts';
import type { GetStatsRequest as _circ_v1_GetStatsRequest, GetStatsRequest__Output as _circ_v1_GetStatsRequest__Output } from '../../circ/v1/GetStatsRequest.ts';
import type { GetStatsResponse as _circ_v1_GetStatsResponse, GetStatsResponse__Output as _circ_v1_GetStatsResponse__Output } from '../../circ/v1/GetStatsResponse.ts';
import type { ListBlobsRequest as _circ_v1_ListBlobsRequest, ListBlobsRequest__Output as _circ_v1_ListBlobsRequest__Output } from '../../circ/v1/ListBlobsRequest.ts';
import type { ListBlobsResponse as _circ_v1_ListBlobsResponse, ListBlobsResponse__Output as _circ_v1_ListBlobsResponse__Output } from '../../circ/v1/ListBlobsResponse.ts';
import type { ListRepositoriesRequest as _circ_v1_ListRepositoriesRequest, ListRepositoriesRequest__Output as _circ_v1_ListRepositoriesRequest__Output } from '../../circ/v1/ListRepositoriesRequest.ts';
import type { ListRepositoriesResponse as _circ_v1_ListRepositoriesResponse, ListRepositoriesResponse__Output as _circ_v1_ListRepositoriesResponse__Output } from '../../circ/v1/ListRepositoriesResponse.ts';
import type { PreheatRequest as _circ_v1_PreheatRequest, PreheatRequest__Output as _circ_v1_PreheatRequest__Output } from '../../circ/v1/PreheatRequest.ts';
import type { PreheatResponse as _circ_v1_PreheatResponse, PreheatResponse__Output as _circ_v1_PreheatResponse__Output } from '../../circ/v1/PreheatResponse.ts';
import type { VerifyRequest as _circ_v1_VerifyRequest, VerifyRequest__Output as _circ_v1_VerifyRequest__Output } from '../../circ/v1/VerifyRequest.ts';
import type { VerifyResponse as _circ_v1_VerifyResponse, VerifyResponse__Output as _circ_v1_VerifyResponse__Output } from '../../circ/v1/VerifyResponse.ts';
import type { WatchFetchesRequest as _circ_v1_WatchFetchesRequest, WatchFetchesRequest__Output as _circ_v1_WatchFetchesRequest__Output } from '../../circ/v1/WatchFetchesRequest.ts';
import type { WatchFetchesResponse as _circ_v1_WatchFetchesResponse, WatchFetchesResponse__Output as _circ_v1_WatchFetchesResponse__Output } from '../../circ/v1/WatchFetchesResponse.ts';

export interface AdminClient extends grpc.Client {
  Evict(argument: _circ_v1_EvictRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_circ_v1_EvictResponse__Output>): grpc.ClientUnaryCall;
  Evict(argument: _circ_v1_EvictRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_circ_v1_EvictResponse__Output>): grpc.ClientUnaryCall;
  Evict(argument: _circ_v1_EvictRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_circ_v1_EvictResponse__Output>): grpc.ClientUnaryCall;
  Evict(argument: _circ_v1_EvictRequest, callback: grpc.requestCallback<_circ_v1_EvictResponse__Output>): grpc.ClientUnaryCall;
  evict(argument: _circ_v1_EvictRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_circ_v1_EvictResponse__Output>): grpc.ClientUnaryCall;
  evict(argument: _circ_v1_EvictRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_circ_v1_EvictResponse__Output>): grpc.ClientUnaryCall;
  evict(argument: _circ_v1_EvictRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_circ_v1_EvictResponse__Output>): grpc.ClientUnaryCall;
  evict(argument: _circ_v1_EvictRequest, callback: grpc.requestCallback<_circ_v1_EvictResponse__Output>): grpc.ClientUnaryCall;
  
  GetStats(argument: _circ_v1_GetStatsRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_circ_v1_GetStatsResponse__Output>): grpc.ClientUnaryCall;
  GetStats(argument: _circ_v1_GetStatsRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_circ_v1_GetStatsResponse__Output>): grpc.ClientUnaryCall;
  GetStats(argument: _circ_v1_GetStatsRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_circ_v1_GetStatsResponse__Output>): grpc.ClientUnaryCall;
  GetStats(argument: _circ_v1_GetStatsRequest, callback: grpc.requestCallback<_circ_v1_GetStatsResponse__Output>): grpc.ClientUnaryCall;
  getStats(argument: _circ_v1_GetStatsRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_circ_v1_GetStatsResponse__Output>): grpc.ClientUnaryCall;
  getStats(argument: _circ_v1_GetStatsRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_circ_v1_GetStatsResponse__Output>): grpc.ClientUnaryCall;
  getStats(argument: _circ_v1_GetStatsRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_circ_v1_GetStatsResponse__Output>): grpc.ClientUnaryCall;
  getStats(argument: _circ_v1_GetStatsRequest, callback: grpc.requestCallback<_circ_v1_GetStatsResponse__Output>): grpc.ClientUnaryCall;
  
  ListBlobs(argument: _circ_v1_ListBlobsRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_circ_v1_ListBlobsResponse__Output>): grpc.ClientUnaryCall;
  ListBlobs(argument: _circ_v1_ListBlobsRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_circ_v1_ListBlobsResponse__Output>): grpc.ClientUnaryCall;
  ListBlobs(argument: _circ_v1_ListBlobsRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_circ_v1_ListBlobsResponse__Output>): grpc.ClientUnaryCall;
  ListBlobs(argument: _circ_v1_ListBlobsRequest, callback: grpc.requestCallback<_circ_v1_ListBlobsResponse__Output>): grpc.ClientUnaryCall;
  listBlobs(argument: _circ_v1_ListBlobsRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_circ_v1_ListBlobsResponse__Output>): grpc.ClientUnaryCall;
  listBlobs(argument: _circ_v1_ListBlobsRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_circ_v1_ListBlobsResponse__Output>): grpc.ClientUnaryCall;
  listBlobs(argument: _circ_v1_ListBlobsRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_circ_v1_ListBlobsResponse__Output>): grpc.ClientUnaryCall;
  listBlobs(argument: _circ_v1_ListBlobsRequest, callback: grpc.requestCallback<_circ_v1_ListBlobsResponse__Output>): grpc.ClientUnaryCall;
  
  ListRepositories(argument: _circ_v1_ListRepositoriesRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_circ_v1_ListRepositoriesResponse__Output>): grpc.ClientUnaryCall;
  ListRepositories(argument: _circ_v1_ListRepositoriesRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_circ_v1_ListRepositoriesResponse__Output>): grpc.ClientUnaryCall;
  ListRepositories(argument: _circ_v1_ListRepositoriesRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_circ_v1_ListRepositoriesResponse__Output>): grpc.ClientUnaryCall;
  ListRepositories(argument: _circ_v1_ListRepositoriesRequest, callback: grpc.requestCallback<_circ_v1_ListRepositoriesResponse__Output>): grpc.ClientUnaryCall;
  listRepositories(argument: _circ_v1_ListRepositoriesRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_circ_v1_ListRepositoriesResponse__Output>): grpc.ClientUnaryCall;
  listRepositories(argument: _circ_v1_ListRepositoriesRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_circ_v1_ListRepositoriesResponse__Output>): grpc.ClientUnaryCall;
  listRepositories(argument: _circ_v1_ListRepositoriesRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_circ_v1_ListRepositoriesResponse__Output>): grpc.ClientUnaryCall;
  listRepositories(argument: _circ_v1_ListRepositoriesRequest, callback: grpc.requestCallback<_circ_v1_ListRepositoriesResponse__Output>): grpc.ClientUnaryCall;
  
  Preheat(argument: _circ_v1_PreheatRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_circ_v1_PreheatResponse__Output>;
  Preheat(argument: _circ_v1_PreheatRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_circ_v1_PreheatResponse__Output>;
  preheat(argument: _circ_v1_PreheatRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_circ_v1_PreheatResponse__Output>;
  preheat(argument: _circ_v1_PreheatRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_circ_v1_PreheatResponse__Output>;
  
  Verify(argument: _circ_v1_VerifyRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_circ_v1_VerifyResponse__Output>;
  Verify(argument: _circ_v1_VerifyRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_circ_v1_VerifyResponse__Output>;
  verify(argument: _circ_v1_VerifyRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_circ_v1_VerifyResponse__Output>;
  verify(argument: _circ_v1_VerifyRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_circ_v1_VerifyResponse__Output>;
  
  WatchFetches(argument: _circ_v1_WatchFetchesRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_circ_v1_WatchFetchesResponse__Output>;
  WatchFetches(argument: _circ_v1_WatchFetchesRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_circ_v1_WatchFetchesResponse__Output>;
  watchFetches(argument: _circ_v1_WatchFetchesRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_circ_v1_WatchFetchesResponse__Output>;
  watchFetches(argument: _circ_v1_WatchFetchesRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_circ_v1_WatchFetchesResponse__Output>;
  
}

export interface AdminHandlers extends grpc.UntypedServiceImplementation {
  Evict: grpc.handleUnaryCall<_circ_v1_EvictRequest__Output, _circ_v1_EvictResponse>;
  
  GetStats: grpc.handleUnaryCall<_circ_v1_GetStatsRequest__Output, _circ_v1_GetStatsResponse>;
  
  ListBlobs: grpc.handleUnaryCall<_circ_v1_ListBlobsRequest__Output, _circ_v1_ListBlobsResponse>;
  
  ListRepositories: grpc.handleUnaryCall<_circ_v1_ListRepositoriesRequest__Output, _circ_v1_ListRepositoriesResponse>;
  
  Preheat: grpc.handleServerStreamingCall<_circ_v1_PreheatRequest__Output, _circ_v1_PreheatResponse>;
  
  Verify: grpc.handleServerStreamingCall<_circ_v1_VerifyRequest__Output, _circ_v1_VerifyResponse>;
  
  WatchFetches: grpc.handleServerStreamingCall<_circ_v1_WatchFetchesRequest__Output, _circ_v1_WatchFetchesResponse>;
  
}

export interface AdminDefinition extends grpc.ServiceDefinition {
  Evict: MethodDefinition<_circ_v1_EvictRequest, _circ_v1_EvictResponse, _circ_v1_EvictRequest__Output, _circ_v1_EvictResponse__Output>
  GetStats: MethodDefinition<_circ_v1_GetStatsRequest, _circ_v1_GetStatsResponse, _circ_v1_GetStatsRequest__Output, _circ_v1_GetStatsResponse__Output>
  ListBlobs: MethodDefinition<_circ_v1_ListBlobsRequest, _circ_v1_ListBlobsResponse, _circ_v1_ListBlobsRequest__Output, _circ_v1_ListBlobsResponse__Output>
  ListRepositories: MethodDefinition<_circ_v1_ListRepositoriesRequest, _circ_v1_ListRepositoriesResponse, _circ_v1_ListRepositoriesRequest__Output, _circ_v1_ListRepositoriesResponse__Output>
  Preheat: MethodDefinition<_circ_v1_PreheatRequest, _circ_v1_PreheatResponse, _circ_v1_PreheatRequest__Output, _circ_v1_PreheatResponse__Output>
  Verify: MethodDefinition<_circ_v1_VerifyRequest, _circ_v1_VerifyResponse, _circ_v1_VerifyRequest__Output, _circ_v1_VerifyResponse__Output>
  WatchFetches: MethodDefinition<_circ_v1_WatchFetchesRequest, _circ_v1_WatchFetchesResponse, _circ_v1_WatchFetchesRequest__Output, _circ_v1_WatchFetchesResponse__Output>
}
