// Original file: proto/shared_tier.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { ListRequest as _circ_v1_ListRequest, ListRequest__Output as _circ_v1_ListRequest__Output } from '../../circ/v1/ListRequest.ts';
import type { ListResponse as _circ_v1_ListResponse, ListResponse__Output as _circ_v1_ListResponse__Output } from '../../circ/v1/ListResponse.ts';
import type { OpenBlobRequest as _circ_v1_OpenBlobRequest, OpenBlobRequest__Output as _circ_v1_OpenBlobRequest__Output } from '../../circ/v1/OpenBlobRequest.ts';
import type { OpenBlobResponse as _circ_v1_OpenBlobResponse, OpenBlobResponse__Output as _circ_v1_OpenBlobResponse__Output } from '../../circ/v1/OpenBlobResponse.ts';
import type { ResolveManifestRequest as _circ_v1_ResolveManifestRequest, ResolveManifestRequest__Output as _circ_v1_ResolveManifestRequest__Output } from '../../circ/v1/ResolveManifestRequest.ts';
import type { ResolveManifestResponse as _circ_v1_ResolveManifestResponse, ResolveManifestResponse__Output as _circ_v1_ResolveManifestResponse__Output } from '../../circ/v1/ResolveManifestResponse.ts';

export interface SharedTierClient extends grpc.Client {
  List(argument: _circ_v1_ListRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_circ_v1_ListResponse__Output>): grpc.ClientUnaryCall;
  List(argument: _circ_v1_ListRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_circ_v1_ListResponse__Output>): grpc.ClientUnaryCall;
  List(argument: _circ_v1_ListRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_circ_v1_ListResponse__Output>): grpc.ClientUnaryCall;
  List(argument: _circ_v1_ListRequest, callback: grpc.requestCallback<_circ_v1_ListResponse__Output>): grpc.ClientUnaryCall;
  list(argument: _circ_v1_ListRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_circ_v1_ListResponse__Output>): grpc.ClientUnaryCall;
  list(argument: _circ_v1_ListRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_circ_v1_ListResponse__Output>): grpc.ClientUnaryCall;
  list(argument: _circ_v1_ListRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_circ_v1_ListResponse__Output>): grpc.ClientUnaryCall;
  list(argument: _circ_v1_ListRequest, callback: grpc.requestCallback<_circ_v1_ListResponse__Output>): grpc.ClientUnaryCall;
  
  OpenBlob(argument: _circ_v1_OpenBlobRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_circ_v1_OpenBlobResponse__Output>): grpc.ClientUnaryCall;
  OpenBlob(argument: _circ_v1_OpenBlobRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_circ_v1_OpenBlobResponse__Output>): grpc.ClientUnaryCall;
  OpenBlob(argument: _circ_v1_OpenBlobRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_circ_v1_OpenBlobResponse__Output>): grpc.ClientUnaryCall;
  OpenBlob(argument: _circ_v1_OpenBlobRequest, callback: grpc.requestCallback<_circ_v1_OpenBlobResponse__Output>): grpc.ClientUnaryCall;
  openBlob(argument: _circ_v1_OpenBlobRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_circ_v1_OpenBlobResponse__Output>): grpc.ClientUnaryCall;
  openBlob(argument: _circ_v1_OpenBlobRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_circ_v1_OpenBlobResponse__Output>): grpc.ClientUnaryCall;
  openBlob(argument: _circ_v1_OpenBlobRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_circ_v1_OpenBlobResponse__Output>): grpc.ClientUnaryCall;
  openBlob(argument: _circ_v1_OpenBlobRequest, callback: grpc.requestCallback<_circ_v1_OpenBlobResponse__Output>): grpc.ClientUnaryCall;
  
  ResolveManifest(argument: _circ_v1_ResolveManifestRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_circ_v1_ResolveManifestResponse__Output>): grpc.ClientUnaryCall;
  ResolveManifest(argument: _circ_v1_ResolveManifestRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_circ_v1_ResolveManifestResponse__Output>): grpc.ClientUnaryCall;
  ResolveManifest(argument: _circ_v1_ResolveManifestRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_circ_v1_ResolveManifestResponse__Output>): grpc.ClientUnaryCall;
  ResolveManifest(argument: _circ_v1_ResolveManifestRequest, callback: grpc.requestCallback<_circ_v1_ResolveManifestResponse__Output>): grpc.ClientUnaryCall;
  resolveManifest(argument: _circ_v1_ResolveManifestRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_circ_v1_ResolveManifestResponse__Output>): grpc.ClientUnaryCall;
  resolveManifest(argument: _circ_v1_ResolveManifestRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_circ_v1_ResolveManifestResponse__Output>): grpc.ClientUnaryCall;
  resolveManifest(argument: _circ_v1_ResolveManifestRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_circ_v1_ResolveManifestResponse__Output>): grpc.ClientUnaryCall;
  resolveManifest(argument: _circ_v1_ResolveManifestRequest, callback: grpc.requestCallback<_circ_v1_ResolveManifestResponse__Output>): grpc.ClientUnaryCall;
  
}

export interface SharedTierHandlers extends grpc.UntypedServiceImplementation {
  List: grpc.handleUnaryCall<_circ_v1_ListRequest__Output, _circ_v1_ListResponse>;
  
  OpenBlob: grpc.handleUnaryCall<_circ_v1_OpenBlobRequest__Output, _circ_v1_OpenBlobResponse>;
  
  ResolveManifest: grpc.handleUnaryCall<_circ_v1_ResolveManifestRequest__Output, _circ_v1_ResolveManifestResponse>;
  
}

export interface SharedTierDefinition extends grpc.ServiceDefinition {
  List: MethodDefinition<_circ_v1_ListRequest, _circ_v1_ListResponse, _circ_v1_ListRequest__Output, _circ_v1_ListResponse__Output>
  OpenBlob: MethodDefinition<_circ_v1_OpenBlobRequest, _circ_v1_OpenBlobResponse, _circ_v1_OpenBlobRequest__Output, _circ_v1_OpenBlobResponse__Output>
  ResolveManifest: MethodDefinition<_circ_v1_ResolveManifestRequest, _circ_v1_ResolveManifestResponse, _circ_v1_ResolveManifestRequest__Output, _circ_v1_ResolveManifestResponse__Output>
}
