// Original file: proto/shared_tier.proto

import type { Target as _circ_v1_Target, Target__Output as _circ_v1_Target__Output } from '../../circ/v1/Target.ts';
import type { Form as _circ_v1_Form, Form__Output as _circ_v1_Form__Output } from '../../circ/v1/Form.ts';

export interface ResolveManifestRequest {
  'target'?: (_circ_v1_Target | null);
  'reference'?: (string);
  'accept'?: (string)[];
  'withContent'?: (boolean);
  'grant'?: (Buffer | Uint8Array | string);
  'authorization'?: (string);
  'form'?: (_circ_v1_Form);
}

export interface ResolveManifestRequest__Output {
  'target': (_circ_v1_Target__Output | null);
  'reference': (string);
  'accept': (string)[];
  'withContent': (boolean);
  'grant': (Buffer);
  'authorization': (string);
  'form': (_circ_v1_Form__Output);
}
