// Original file: proto/admin.proto


export interface VerifyRequest {
}

export interface VerifyRequest__Output {
}
