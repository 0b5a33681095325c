// Original file: proto/admin.proto


export interface ListBlobsRequest {
  'pageSize'?: (number);
  'pageToken'?: (string);
  'repository'?: (string);
}

export interface ListBlobsRequest__Output {
  'pageSize': (number);
  'pageToken': (string);
  'repository': (string);
}
