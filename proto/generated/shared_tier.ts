import type * as grpc from '@grpc/grpc-js';
import type { EnumTypeDefinition, MessageTypeDefinition } from '@grpc/proto-loader';

import type { Descriptor as _circ_v1_Descriptor, Descriptor__Output as _circ_v1_Descriptor__Output } from './circ/v1/Descriptor.ts';
import type { Grant as _circ_v1_Grant, Grant__Output as _circ_v1_Grant__Output } from './circ/v1/Grant.ts';
import type { ListRequest as _circ_v1_ListRequest, ListRequest__Output as _circ_v1_ListRequest__Output } from './circ/v1/ListRequest.ts';
import type { ListResponse as _circ_v1_ListResponse, ListResponse__Output as _circ_v1_ListResponse__Output } from './circ/v1/ListResponse.ts';
import type { OpenBlobRequest as _circ_v1_OpenBlobRequest, OpenBlobRequest__Output as _circ_v1_OpenBlobRequest__Output } from './circ/v1/OpenBlobRequest.ts';
import type { OpenBlobResponse as _circ_v1_OpenBlobResponse, OpenBlobResponse__Output as _circ_v1_OpenBlobResponse__Output } from './circ/v1/OpenBlobResponse.ts';
import type { ResolveManifestRequest as _circ_v1_ResolveManifestRequest, ResolveManifestRequest__Output as _circ_v1_ResolveManifestRequest__Output } from './circ/v1/ResolveManifestRequest.ts';
import type { ResolveManifestResponse as _circ_v1_ResolveManifestResponse, ResolveManifestResponse__Output as _circ_v1_ResolveManifestResponse__Output } from './circ/v1/ResolveManifestResponse.ts';
import type { SharedTierClient as _circ_v1_SharedTierClient, SharedTierDefinition as _circ_v1_SharedTierDefinition } from './circ/v1/SharedTier.ts';
import type { Target as _circ_v1_Target, Target__Output as _circ_v1_Target__Output } from './circ/v1/Target.ts';

type SubtypeConstructor<Constructor extends new (...args: any) => any, Subtype> = {
  new(...args: ConstructorParameters<Constructor>): Subtype;
};

export interface ProtoGrpcType {
  circ: {
    v1: {
      Descriptor: MessageTypeDefinition<_circ_v1_Descriptor, _circ_v1_Descriptor__Output>
      Form: EnumTypeDefinition
      Grant: MessageTypeDefinition<_circ_v1_Grant, _circ_v1_Grant__Output>
      ListRequest: MessageTypeDefinition<_circ_v1_ListRequest, _circ_v1_ListRequest__Output>
      ListResponse: MessageTypeDefinition<_circ_v1_ListResponse, _circ_v1_ListResponse__Output>
      OpenBlobRequest: MessageTypeDefinition<_circ_v1_OpenBlobRequest, _circ_v1_OpenBlobRequest__Output>
      OpenBlobResponse: MessageTypeDefinition<_circ_v1_OpenBlobResponse, _circ_v1_OpenBlobResponse__Output>
      ResolveManifestRequest: MessageTypeDefinition<_circ_v1_ResolveManifestRequest, _circ_v1_ResolveManifestRequest__Output>
      ResolveManifestResponse: MessageTypeDefinition<_circ_v1_ResolveManifestResponse, _circ_v1_ResolveManifestResponse__Output>
      SharedTier: SubtypeConstructor<typeof grpc.Client, _circ_v1_SharedTierClient> & { service: _circ_v1_SharedTierDefinition }
      Target: MessageTypeDefinition<_circ_v1_Target, _circ_v1_Target__Output>
    }
  }
}

