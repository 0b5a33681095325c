import { join } from 'node:path';
import { Daemon } from './daemon.ts';
import { type KubeApi, TOKENS } from './kube-api.ts';
import { kubeToolPath } from './kube-tools.ts';
import type { Namespace } from './network.ts';
import { repositoryRoot } from './paths.ts';

/**
 * What makes a cluster of an API and nodes: the controllers (of DaemonSets, Deployments, endpoints, accounts, volumes…), the
 * scheduler, and a name server at port 53 of the API's address. Disposing ends them.
 */
export async function startControllers(kube: KubeApi, namespace: Namespace, logs: string): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const start = async (name: string, argv: readonly string[]): Promise<Daemon> =>
    stack.use(await Daemon.start({ argv: namespace.command(argv), logFile: join(logs, `${name}.log`) }));
  const { keyFile } = await kube.pki.signingKey(TOKENS);
  const common = ['--leader-elect=false', '--bind-address=127.0.0.1', `--kubeconfig=${kube.kubeconfig}`];
  const tokens = [`--service-account-private-key-file=${keyFile}`, `--root-ca-file=${kube.pki.caFile}`];
  await start('controllers', [kubeToolPath('kube-controller-manager'), ...common, ...tokens]);
  await start('scheduler', [kubeToolPath('kube-scheduler'), ...common]);
  const program = join(repositoryRoot, 'scripts/lab/cluster-dns.ts');
  const { certFile, keyFile: adminKey } = kube.admin;
  const names = [namespace.address, kube.url, kube.pki.caFile, certFile, adminKey];
  await start('dns', [process.execPath, program, ...names]);
  const running = stack.move();
  return { [Symbol.asyncDispose]: async () => await running.disposeAsync() };
}
