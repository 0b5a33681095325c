// Original file: proto/admin.proto


export interface EvictRequest {
  'digest'?: (string);
  'repository'?: (string);
  'all'?: (boolean);
  'dryRun'?: (boolean);
  'what'?: "digest"|"repository"|"all";
}

export interface EvictRequest__Output {
  'digest'?: (string);
  'repository'?: (string);
  'all'?: (boolean);
  'dryRun': (boolean);
  'what'?: "digest"|"repository"|"all";
}
