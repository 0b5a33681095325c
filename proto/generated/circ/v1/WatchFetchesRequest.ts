// Original file: proto/admin.proto


export interface WatchFetchesRequest {
}

export interface WatchFetchesRequest__Output {
}
