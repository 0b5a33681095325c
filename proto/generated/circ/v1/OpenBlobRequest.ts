// Original file: proto/shared_tier.proto

import type { Target as _circ_v1_Target, Target__Output as _circ_v1_Target__Output } from '../../circ/v1/Target.ts';
import type { Form as _circ_v1_Form, Form__Output as _circ_v1_Form__Output } from '../../circ/v1/Form.ts';

export interface OpenBlobRequest {
  'target'?: (_circ_v1_Target | null);
  'digest'?: (string);
  'grant'?: (Buffer | Uint8Array | string);
  'statOnly'?: (boolean);
  'authorization'?: (string);
  'form'?: (_circ_v1_Form);
}

export interface OpenBlobRequest__Output {
  'target': (_circ_v1_Target__Output | null);
  'digest': (string);
  'grant': (Buffer);
  'statOnly': (boolean);
  'authorization': (string);
  'form': (_circ_v1_Form__Output);
}
