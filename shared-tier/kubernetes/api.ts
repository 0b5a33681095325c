import { KubeConfig, type RequestContext } from '@kubernetes/client-node';
import { Agent, type Dispatcher, type buildConnector } from 'undici';

type DispatcherOptions = ReturnType<KubeConfig['createDispatcherOptions']>;

/** The API is near, and what waits for it has something better to do. */
const ANSWER_MS = 1_000;
const CONNECTIONS = 16;

/**
 * Where the Kubernetes API is and who we are there, by the client's own rules (in the cluster, KUBECONFIG, ~/.kube), but
 * over connections that are kept: left alone the client opens a new one for each call, and TLS then costs more than the
 * question. Every call ends after a second.
 */
export class KubernetesApi extends KubeConfig implements AsyncDisposable {
  readonly #answerMs: number;
  #kept: { readonly options: string; readonly dispatcher: Dispatcher } | undefined;

  constructor({ answerMs = ANSWER_MS }: { answerMs?: number } = {}) {
    super();
    this.#answerMs = answerMs;
  }

  /** @throws Error when nothing says where the API is */
  static fromDefault(): KubernetesApi {
    const api = new KubernetesApi();
    api.loadFromDefault();
    if (api.getCurrentCluster()?.server.startsWith('https://') !== true) {
      throw new Error('no Kubernetes API is configured: run in a cluster, or set KUBECONFIG to one with https');
    }
    return api;
  }

  /** Called by the client for each request, with what its files say at that moment. */
  override createDispatcherOptions(
    ...[cluster, tls]: Parameters<KubeConfig['createDispatcherOptions']>
  ): DispatcherOptions {
    const made = super.createDispatcherOptions(cluster, tls);
    if (made.type !== 'agent') return made; // through a proxy: as the client does it
    const options = JSON.stringify(made.connect);
    if (this.#kept?.options !== options) {
      void this.#kept?.dispatcher.close();
      const connect = made.connect as buildConnector.BuildOptions;
      this.#kept = { options, dispatcher: new Agent({ connect, connections: CONNECTIONS }).compose(keeping) };
    }
    return { type: 'none' };
  }

  override async applySecurityAuthentication(context: RequestContext): Promise<void> {
    await super.applySecurityAuthentication(context);
    if (this.#kept && !context.getDispatcher()) context.setDispatcher(this.#kept.dispatcher);
    context.setSignal(AbortSignal.timeout(this.#answerMs));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#kept?.dispatcher.destroy();
  }
}

/** Undici ends the connection after a DELETE with a body, which is how a deletion's preconditions are said. */
function keeping(dispatch: Dispatcher.Dispatch): Dispatcher.Dispatch {
  return (options, handler) => dispatch({ ...options, reset: false }, handler);
}
