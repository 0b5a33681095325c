// Original file: proto/admin.proto


export interface GetStatsRequest {
}

export interface GetStatsRequest__Output {
}
