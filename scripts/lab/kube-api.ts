import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { Daemon } from './daemon.ts';
import { kubeToolPath } from './kube-tools.ts';
import type { Namespace } from './network.ts';
import { type KeyPair, Pki } from './pki.ts';
import { run } from './run.ts';

export interface KubeApiOptions {
  /** Where it runs. Without: on this machine's loopback, at free ports. */
  readonly namespace?: Namespace;
  /** Everything it writes lies below. */
  readonly directory: string;
  /** Directory of the logs. */
  readonly logs: string;
}

/** Runs curl as the admin where the API is, and returns what it printed. */
type Curl = (args: readonly string[]) => Promise<string>;

const LEASE_RULE = {
  apiGroups: ['coordination.k8s.io'],
  resources: ['leases'],
  verbs: ['get', 'list', 'create', 'update', 'delete'],
};

/** Of Services; nothing leads to any of them but the first. */
const SERVICES = '10.96.0.0/16';
/** Of the Service `kubernetes`: where pods find the API. */
export const API_SERVICE = '10.96.0.1';
/** The key that ServiceAccount tokens are signed with. */
export const TOKENS = 'service-accounts';
const ISSUER = 'https://kubernetes.default.svc.cluster.local';

/** What is said of calls in the audit log: leases of people's namespaces, once they are answered. */
const AUDIT_POLICY = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived'],
  rules: [
    { level: 'None', namespaces: ['kube-system'] },
    { level: 'Metadata', resources: [{ group: 'coordination.k8s.io', resources: ['leases'] }] },
    { level: 'None' },
  ],
};

/** One call about leases, as the API's audit log has it. */
export interface LeaseCall {
  /** create, get, update, delete, list. */
  readonly verb: string;
  readonly status: number;
  readonly name: string | undefined;
}

/** A Kubernetes API: etcd and a kube-apiserver, with roles enforced, and nothing else that acts on what is written. */
export class KubeApi implements AsyncDisposable {
  /** `https://host:port` */
  readonly url: string;
  readonly pki: Pki;
  /** May do everything. */
  readonly admin: KeyPair;
  /** The admin's, in a file. */
  readonly kubeconfig: string;
  readonly #curl: Curl;
  readonly #etcd: Daemon;
  readonly #startServer: () => Promise<Daemon>;
  readonly #auditLog: string;
  #server: Daemon;

  private constructor(
    { url, pki, admin, kubeconfig }: Pick<KubeApi, 'url' | 'pki' | 'admin' | 'kubeconfig'>,
    auditLog: string,
    curl: Curl,
    etcd: Daemon,
    server: Daemon,
    startServer: () => Promise<Daemon>,
  ) {
    this.#auditLog = auditLog;
    this.#curl = curl;
    this.url = url;
    this.pki = pki;
    this.admin = admin;
    this.kubeconfig = kubeconfig;
    this.#etcd = etcd;
    this.#server = server;
    this.#startServer = startServer;
  }

  static async start({ namespace, directory, logs }: KubeApiOptions): Promise<KubeApi> {
    const inPlace = (argv: readonly string[]): readonly string[] => namespace?.command(argv) ?? argv;
    const address = namespace?.address ?? '127.0.0.1';
    const [etcdPort, peerPort, port] = namespace ? [2379, 2380, 443] : await freePorts();
    const url = `https://${address}:${port}`;
    const [pkiDirectory, kubeconfig] = [join(directory, 'pki'), join(directory, 'admin.kubeconfig')];
    await mkdir(pkiDirectory, { recursive: true });
    const pki = await Pki.create(pkiDirectory);
    const admin = await pki.issue('admin', '/O=system:masters/CN=admin');
    await writeFile(kubeconfig, await pki.kubeconfig(url, admin), { mode: 0o600 });
    const [auditLog, auditPolicy] = [join(directory, 'audit.jsonl'), join(directory, 'audit-policy.json')];
    await writeFile(auditLog, '');
    await writeFile(auditPolicy, JSON.stringify(AUDIT_POLICY));
    const serverArgs = [
      `--audit-log-path=${auditLog}`,
      `--audit-policy-file=${auditPolicy}`,
      `--etcd-servers=http://127.0.0.1:${etcdPort}`,
      `--bind-address=${namespace ? '0.0.0.0' : '127.0.0.1'}`,
      `--secure-port=${port}`,
      ...(await apiServerArgs(pki, address)),
    ];

    await using stack = new AsyncDisposableStack();
    const etcd = stack.use(
      await Daemon.start({
        argv: inPlace([kubeToolPath('etcd'), ...etcdArgs(join(directory, 'etcd'), `${etcdPort}`, `${peerPort}`)]),
        logFile: join(logs, 'etcd.log'),
      }),
    );
    await etcd.until('healthy', async () => {
      await run(inPlace(['curl', '-fsS', '-m', '2', `http://127.0.0.1:${etcdPort}/health`]));
      return true;
    });
    const who = ['--cacert', pki.caFile, '--cert', admin.certFile, '--key', admin.keyFile];
    const curl: Curl = async (args) =>
      (await run(inPlace(['curl', '--fail-with-body', '-sS', '--noproxy', '*', '-m', '10', ...who, ...args]))).stdout;
    const startServer = async (): Promise<Daemon> => {
      await using starting = new AsyncDisposableStack();
      const server = starting.use(
        await Daemon.start({
          argv: inPlace([kubeToolPath('kube-apiserver'), ...serverArgs]),
          logFile: join(logs, 'kube-apiserver.log'),
        }),
      );
      await server.until('ready', async () => (await curl([`${url}/readyz`])) === 'ok');
      starting.move();
      return server;
    };
    const server = await startServer();
    stack.move();
    return new KubeApi({ url, pki, admin, kubeconfig }, auditLog, curl, etcd, server, startServer);
  }

  /** The kube-apiserver; to stop it, freeze it, kill it. */
  get server(): Daemon {
    return this.#server;
  }

  /** Reads an object or a list. @throws also when there is none */
  async get<T>(path: string): Promise<T> {
    return JSON.parse(await this.#curl([this.url + path])) as T;
  }

  /** Creates an object in the collection at `path`, and returns what it has become. @throws with the API's words */
  async create<T>(path: string, object: object): Promise<T> {
    const json = ['-H', 'content-type: application/json', '-d', JSON.stringify(object)];
    return JSON.parse(await this.#curl([...json, this.url + path])) as T;
  }

  /** Changes fields of an object: https://www.rfc-editor.org/rfc/rfc7396 */
  async patch(path: string, change: object): Promise<void> {
    const json = ['-H', 'content-type: application/merge-patch+json', '-d', JSON.stringify(change)];
    await this.#curl(['-X', 'PATCH', ...json, this.url + path]);
  }

  async delete(path: string): Promise<void> {
    await this.#curl(['-X', 'DELETE', this.url + path]);
  }

  /** A namespace in which `user` may do with leases what a shared tier needs, and nothing else. */
  async createTierNamespace(name: string, user: string): Promise<void> {
    await this.create('/api/v1/namespaces', { metadata: { name } });
    const apiGroup = 'rbac.authorization.k8s.io';
    const path = `/apis/${apiGroup}/v1/namespaces/${name}`;
    const metadata = { name: 'circ' };
    await this.create(`${path}/roles`, { metadata, rules: [LEASE_RULE] });
    await this.create(`${path}/rolebindings`, {
      metadata,
      roleRef: { apiGroup, kind: 'Role', name: 'circ' },
      subjects: [{ apiGroup, kind: 'User', name: user }],
    });
  }

  /** The calls about leases in a namespace so far, in the order of their answers. */
  async leaseCalls(namespace: string): Promise<LeaseCall[]> {
    const lines = (await readFile(this.#auditLog, 'utf8')).split('\n').slice(0, -1);
    return lines
      .map((line) => JSON.parse(line) as AuditEvent)
      .filter(({ objectRef }) => objectRef.namespace === namespace)
      .map(({ verb, responseStatus, objectRef }) => ({ verb, status: responseStatus.code, name: objectRef.name }));
  }

  /** Its next life, on the same etcd and at the same port. */
  async restart(): Promise<void> {
    await this.#server.stop();
    this.#server = await this.#startServer();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
    await this.#etcd[Symbol.asyncDispose]();
  }
}

/** https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/ */
interface AuditEvent {
  readonly verb: string;
  readonly objectRef: { readonly namespace: string; readonly name?: string };
  readonly responseStatus: { readonly code: number };
}

function etcdArgs(directory: string, port: string, peerPort: string): string[] {
  const [client, peer] = [`http://127.0.0.1:${port}`, `http://127.0.0.1:${peerPort}`];
  return [
    '--name=lab',
    `--data-dir=${directory}`,
    `--listen-client-urls=${client}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=lab=${peer}`,
    '--log-level=warn',
    '--unsafe-no-fsync', // no lab outlives its machine
  ];
}

/** Who it is, whom it believes, what its callers may do. */
async function apiServerArgs(pki: Pki, address: string): Promise<string[]> {
  const names = `IP:127.0.0.1,IP:${address},IP:${API_SERVICE},DNS:localhost,DNS:kubernetes.default.svc`;
  const serving = await pki.issue('apiserver', '/CN=kube-apiserver', names);
  const toKubelets = await pki.issue('kubelet-client', '/O=system:masters/CN=apiserver-kubelet-client');
  const tokens = await pki.signingKey(TOKENS);
  return [
    '--advertise-address=10.77.0.1', // loopback would be refused; nobody looks it up
    '--endpoint-reconciler-type=none',
    `--tls-cert-file=${serving.certFile}`,
    `--tls-private-key-file=${serving.keyFile}`,
    `--client-ca-file=${pki.caFile}`,
    `--kubelet-client-certificate=${toKubelets.certFile}`,
    `--kubelet-client-key=${toKubelets.keyFile}`,
    `--kubelet-certificate-authority=${pki.caFile}`,
    '--kubelet-preferred-address-types=InternalIP',
    `--service-account-issuer=${ISSUER}`,
    `--service-account-key-file=${tokens.publicFile}`,
    `--service-account-signing-key-file=${tokens.keyFile}`,
    `--service-cluster-ip-range=${SERVICES}`,
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
    '--profiling=false',
  ];
}

/** Three ports that nobody listens on now. */
async function freePorts(): Promise<number[]> {
  const servers = await Promise.all(
    [1, 2, 3].map(async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map(async (server) => await new Promise((resolve) => server.close(resolve))));
  return ports;
}
