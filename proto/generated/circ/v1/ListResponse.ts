// Original file: proto/shared_tier.proto


export interface ListResponse {
  'content'?: (Buffer | Uint8Array | string);
  'next'?: (string);
  'filtersApplied'?: (string);
}

export interface ListResponse__Output {
  'content': (Buffer);
  'next': (string);
  'filtersApplied': (string);
}
