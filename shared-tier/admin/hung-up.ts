import { OciError } from '../../oci/error.ts';

/** A call, of which only its end matters here. */
export interface Cancellable {
  readonly cancelled: boolean;
  on(event: 'cancelled', listener: () => void): unknown;
}

/** Aborted when the caller hangs up, or its deadline is over. */
export function hungUp(call: Cancellable): AbortSignal {
  const gone = new AbortController();
  const abort = (): void => gone.abort(new OciError('UNAVAILABLE', 'the caller hung up'));
  call.on('cancelled', abort);
  if (call.cancelled) abort();
  return gone.signal;
}
