// Original file: proto/shared_tier.proto

export const Form = {
  FORM_UNSPECIFIED: 'FORM_UNSPECIFIED',
  FORM_NS: 'FORM_NS',
  FORM_PATH: 'FORM_PATH',
  FORM_DEFAULT: 'FORM_DEFAULT',
} as const;

export type Form =
  | 'FORM_UNSPECIFIED'
  | 0
  | 'FORM_NS'
  | 1
  | 'FORM_PATH'
  | 2
  | 'FORM_DEFAULT'
  | 3

export type Form__Output = typeof Form[keyof typeof Form]
