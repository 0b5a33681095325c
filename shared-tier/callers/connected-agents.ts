import { type ServerInterceptor, ServerInterceptingCall, ServerListenerBuilder } from '@grpc/grpc-js';

/** Each agent holds one such stream open to each replica, for as long as they are connected. */
const WATCH = '/grpc.health.v1.Health/Watch';

/** Who is connected to this replica: agents, by the standing streams in which they hear whether it serves. */
export class ConnectedAgents {
  readonly #peers = new Map<object, string>();

  get count(): number {
    return this.#peers.size;
  }

  /** Their addresses, each once. */
  get addresses(): string[] {
    const addresses = this.#peers.values().map((peer) => peer.replace(/:\d+$/, ''));
    return [...new Set(addresses)].toSorted();
  }

  /** Sees the streams begin and end. */
  readonly interceptor: ServerInterceptor = (method, call) => {
    if (method.path !== WATCH) return new ServerInterceptingCall(call);
    const stream = {};
    return new ServerInterceptingCall(call, {
      start: (next) => {
        this.#peers.set(stream, call.getPeer());
        next(new ServerListenerBuilder().withOnCancel(() => this.#peers.delete(stream)).build());
      },
      sendStatus: (status, next) => {
        this.#peers.delete(stream);
        next(status);
      },
    });
  };
}
