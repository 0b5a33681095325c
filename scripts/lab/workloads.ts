import type { KubeApi } from './kube-api.ts';

interface Workload {
  readonly metadata: { readonly generation: number };
  readonly spec: { readonly replicas?: number };
  /** Of a Deployment, or of a DaemonSet. */
  readonly status: {
    readonly observedGeneration?: number;
    readonly replicas?: number;
    readonly updatedReplicas?: number;
    readonly readyReplicas?: number;
    readonly desiredNumberScheduled?: number;
    readonly updatedNumberScheduled?: number;
    readonly numberReady?: number;
  };
}

/** What `kubectl rollout restart` does. @param path of a Deployment or DaemonSet */
export async function restartWorkload(kube: KubeApi, path: string): Promise<void> {
  const annotations = { 'kubectl.kubernetes.io/restartedAt': new Date().toISOString() };
  await kube.patch(path, { spec: { template: { metadata: { annotations } } } });
}

/** Whether a workload's pods are all new and ready: what `kubectl rollout status` waits for. */
export async function isRolledOut(kube: KubeApi, path: string): Promise<boolean> {
  const { metadata, status, spec } = await kube.get<Workload>(path);
  if (status.observedGeneration !== metadata.generation) return false;
  const wanted = spec.replicas ?? status.desiredNumberScheduled;
  const updated = status.updatedReplicas ?? status.updatedNumberScheduled ?? 0;
  const ready = (spec.replicas === undefined ? status.numberReady : status.readyReplicas) ?? 0;
  return updated === wanted && ready === wanted && (status.replicas ?? wanted) === wanted;
}
