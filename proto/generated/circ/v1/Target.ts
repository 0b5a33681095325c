// Original file: proto/shared_tier.proto


export interface Target {
  'registry'?: (string);
  'repository'?: (string);
}

export interface Target__Output {
  'registry': (string);
  'repository': (string);
}
