// Original file: proto/admin.proto

import type { Repository as _circ_v1_Repository, Repository__Output as _circ_v1_Repository__Output } from '../../circ/v1/Repository.ts';

export interface ListRepositoriesResponse {
  'repositories'?: (_circ_v1_Repository)[];
  'nextPageToken'?: (string);
  'incomplete'?: (boolean);
}

export interface ListRepositoriesResponse__Output {
  'repositories': (_circ_v1_Repository__Output)[];
  'nextPageToken': (string);
  'incomplete': (boolean);
}
