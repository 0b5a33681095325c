// Original file: proto/shared_tier.proto

import type { Target as _circ_v1_Target, Target__Output as _circ_v1_Target__Output } from '../../circ/v1/Target.ts';
import type { Form as _circ_v1_Form, Form__Output as _circ_v1_Form__Output } from '../../circ/v1/Form.ts';

export interface ListRequest {
  'target'?: (_circ_v1_Target | null);
  'subject'?: (string);
  'query'?: (string);
  'authorization'?: (string);
  'form'?: (_circ_v1_Form);
}

export interface ListRequest__Output {
  'target': (_circ_v1_Target__Output | null);
  'subject': (string);
  'query': (string);
  'authorization': (string);
  'form': (_circ_v1_Form__Output);
}
