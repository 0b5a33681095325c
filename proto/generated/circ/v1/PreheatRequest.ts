// Original file: proto/admin.proto


export interface PreheatRequest {
  'image'?: (string);
  'platforms'?: (string)[];
  'authorization'?: (string);
  'parallelism'?: (number);
  'referrers'?: (boolean);
}

export interface PreheatRequest__Output {
  'image': (string);
  'platforms': (string)[];
  'authorization': (string);
  'parallelism': (number);
  'referrers': (boolean);
}
