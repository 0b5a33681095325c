export interface LoadRequest { readonly url: string; readonly connections: number; readonly verify?: boolean; }
export interface LoadResult { readonly durationMs: number; readonly bytes: number; readonly firstByteMs: readonly number[]; readonly digest?: string; }
