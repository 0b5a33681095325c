import type { KubeApi } from './kube-api.ts';
import type { KubeNode } from './kube-node.ts';
import { until } from './until.ts';

const PODS = '/api/v1/namespaces/default/pods';
/** Bound of a pod's start, on a busy machine. */
const START_MS = 60_000;

interface Pod {
  readonly status: {
    readonly phase: string;
    readonly containerStatuses?: readonly {
      readonly state: { readonly waiting?: { readonly reason: string; readonly message?: string } };
    }[];
  };
}

/** A pod of one container that nobody schedules: it is on its node from the beginning. */
export interface PodOptions {
  readonly name: string;
  readonly image: string;
  readonly command?: readonly string[];
  /** Name of the Secret to pull with. */
  readonly secret?: string;
  /** An image that the container sees as files at `/image`. */
  readonly volume?: string;
  readonly hostNetwork?: boolean;
}

export async function createPod(kube: KubeApi, node: KubeNode, options: PodOptions): Promise<void> {
  const { name, image, command = ['/bin/true'], secret, volume, hostNetwork = false } = options;
  const imagePullPolicy = 'Always';
  const volumes =
    volume === undefined ? [] : [{ name: 'image', image: { reference: volume, pullPolicy: imagePullPolicy } }];
  const volumeMounts = volumes.map(() => ({ name: 'image', mountPath: '/image' }));
  await kube.create(PODS, {
    metadata: { name },
    spec: {
      nodeName: node.name,
      hostNetwork,
      restartPolicy: 'Never',
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      terminationGracePeriodSeconds: 1,
      imagePullSecrets: secret === undefined ? [] : [{ name: secret }],
      containers: [{ name: 'main', image, imagePullPolicy, command, volumeMounts }],
      volumes,
    },
  });
}

/** What has become of a pod: its phase, or why it does not start, such as `ErrImagePull`. */
export async function podState(kube: KubeApi, name: string): Promise<string> {
  const { status } = await kube.get<Pod>(`${PODS}/${name}`);
  return status.containerStatuses?.[0]?.state.waiting?.reason ?? status.phase;
}

/** Waits until a pod runs, has run, or cannot. @returns its state then */
export async function podOutcome(
  kube: KubeApi,
  name: string,
  states = /^(Running|Succeeded|Failed)$/,
): Promise<string> {
  let state = '';
  await until(
    `${name} started`,
    async () => {
      state = await podState(kube, name);
      return states.test(state) || /^(Err|Inv)|BackOff$|Error$/.test(state);
    },
    START_MS,
  );
  return state;
}

/** Runs a pod to its end. @returns `Succeeded`, or what went wrong */
export async function runPod(kube: KubeApi, node: KubeNode, options: PodOptions): Promise<string> {
  await createPod(kube, node, options);
  return await podOutcome(kube, options.name, /^(Succeeded|Failed)$/);
}

export async function deletePod(kube: KubeApi, name: string): Promise<void> {
  await kube.delete(`${PODS}/${name}`);
}
