import type * as grpc from '@grpc/grpc-js';
import type { EnumTypeDefinition, MessageTypeDefinition } from '@grpc/proto-loader';

import type { AdminClient as _circ_v1_AdminClient, AdminDefinition as _circ_v1_AdminDefinition } from './circ/v1/Admin.ts';
import type { Blob as _circ_v1_Blob, Blob__Output as _circ_v1_Blob__Output } from './circ/v1/Blob.ts';
import type { EvictRequest as _circ_v1_EvictRequest, EvictRequest__Output as _circ_v1_EvictRequest__Output } from './circ/v1/EvictRequest.ts';
import type { EvictResponse as _circ_v1_EvictResponse, EvictResponse__Output as _circ_v1_EvictResponse__Output } from './circ/v1/EvictResponse.ts';
import type { FetchStatus as _circ_v1_FetchStatus, FetchStatus__Output as _circ_v1_FetchStatus__Output } from './circ/v1/FetchStatus.ts';
import type { GetStatsRequest as _circ_v1_GetStatsRequest, GetStatsRequest__Output as _circ_v1_GetStatsRequest__Output } from './circ/v1/GetStatsRequest.ts';
import type { GetStatsResponse as _circ_v1_GetStatsResponse, GetStatsResponse__Output as _circ_v1_GetStatsResponse__Output } from './circ/v1/GetStatsResponse.ts';
import type { ListBlobsRequest as _circ_v1_ListBlobsRequest, ListBlobsRequest__Output as _circ_v1_ListBlobsRequest__Output } from './circ/v1/ListBlobsRequest.ts';
import type { ListBlobsResponse as _circ_v1_ListBlobsResponse, ListBlobsResponse__Output as _circ_v1_ListBlobsResponse__Output } from './circ/v1/ListBlobsResponse.ts';
import type { ListRepositoriesRequest as _circ_v1_ListRepositoriesRequest, ListRepositoriesRequest__Output as _circ_v1_ListRepositoriesRequest__Output } from './circ/v1/ListRepositoriesRequest.ts';
import type { ListRepositoriesResponse as _circ_v1_ListRepositoriesResponse, ListRepositoriesResponse__Output as _circ_v1_ListRepositoriesResponse__Output } from './circ/v1/ListRepositoriesResponse.ts';
import type { PreheatObject as _circ_v1_PreheatObject, PreheatObject__Output as _circ_v1_PreheatObject__Output } from './circ/v1/PreheatObject.ts';
import type { PreheatRequest as _circ_v1_PreheatRequest, PreheatRequest__Output as _circ_v1_PreheatRequest__Output } from './circ/v1/PreheatRequest.ts';
import type { PreheatResponse as _circ_v1_PreheatResponse, PreheatResponse__Output as _circ_v1_PreheatResponse__Output } from './circ/v1/PreheatResponse.ts';
import type { Repository as _circ_v1_Repository, Repository__Output as _circ_v1_Repository__Output } from './circ/v1/Repository.ts';
import type { VerifyRequest as _circ_v1_VerifyRequest, VerifyRequest__Output as _circ_v1_VerifyRequest__Output } from './circ/v1/VerifyRequest.ts';
import type { VerifyResponse as _circ_v1_VerifyResponse, VerifyResponse__Output as _circ_v1_VerifyResponse__Output } from './circ/v1/VerifyResponse.ts';
import type { WatchFetchesRequest as _circ_v1_WatchFetchesRequest, WatchFetchesRequest__Output as _circ_v1_WatchFetchesRequest__Output } from './circ/v1/WatchFetchesRequest.ts';
import type { WatchFetchesResponse as _circ_v1_WatchFetchesResponse, WatchFetchesResponse__Output as _circ_v1_WatchFetchesResponse__Output } from './circ/v1/WatchFetchesResponse.ts';

type SubtypeConstructor<Constructor extends new (...args: any) => any, Subtype> = {
  new(...args: ConstructorParameters<Constructor>): Subtype;
};

export interface ProtoGrpcType {
  circ: {
    v1: {
      Admin: SubtypeConstructor<typeof grpc.Client, _circ_v1_AdminClient> & { service: _circ_v1_AdminDefinition }
      Blob: MessageTypeDefinition<_circ_v1_Blob, _circ_v1_Blob__Output>
      EvictRequest: MessageTypeDefinition<_circ_v1_EvictRequest, _circ_v1_EvictRequest__Output>
      EvictResponse: MessageTypeDefinition<_circ_v1_EvictResponse, _circ_v1_EvictResponse__Output>
      FetchStatus: MessageTypeDefinition<_circ_v1_FetchStatus, _circ_v1_FetchStatus__Output>
      GetStatsRequest: MessageTypeDefinition<_circ_v1_GetStatsRequest, _circ_v1_GetStatsRequest__Output>
      GetStatsResponse: MessageTypeDefinition<_circ_v1_GetStatsResponse, _circ_v1_GetStatsResponse__Output>
      ListBlobsRequest: MessageTypeDefinition<_circ_v1_ListBlobsRequest, _circ_v1_ListBlobsRequest__Output>
      ListBlobsResponse: MessageTypeDefinition<_circ_v1_ListBlobsResponse, _circ_v1_ListBlobsResponse__Output>
      ListRepositoriesRequest: MessageTypeDefinition<_circ_v1_ListRepositoriesRequest, _circ_v1_ListRepositoriesRequest__Output>
      ListRepositoriesResponse: MessageTypeDefinition<_circ_v1_ListRepositoriesResponse, _circ_v1_ListRepositoriesResponse__Output>
      PreheatObject: MessageTypeDefinition<_circ_v1_PreheatObject, _circ_v1_PreheatObject__Output>
      PreheatRequest: MessageTypeDefinition<_circ_v1_PreheatRequest, _circ_v1_PreheatRequest__Output>
      PreheatResponse: MessageTypeDefinition<_circ_v1_PreheatResponse, _circ_v1_PreheatResponse__Output>
      PreheatState: EnumTypeDefinition
      Repository: MessageTypeDefinition<_circ_v1_Repository, _circ_v1_Repository__Output>
      VerifyRequest: MessageTypeDefinition<_circ_v1_VerifyRequest, _circ_v1_VerifyRequest__Output>
      VerifyResponse: MessageTypeDefinition<_circ_v1_VerifyResponse, _circ_v1_VerifyResponse__Output>
      WatchFetchesRequest: MessageTypeDefinition<_circ_v1_WatchFetchesRequest, _circ_v1_WatchFetchesRequest__Output>
      WatchFetchesResponse: MessageTypeDefinition<_circ_v1_WatchFetchesResponse, _circ_v1_WatchFetchesResponse__Output>
    }
  }
}

