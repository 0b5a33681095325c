// Original file: proto/admin.proto


export interface ListRepositoriesRequest {
  'pageSize'?: (number);
  'pageToken'?: (string);
}

export interface ListRepositoriesRequest__Output {
  'pageSize': (number);
  'pageToken': (string);
}
