import type { Values } from '../../scripts/lab/chart.ts';

/** Values as clusters have them, by what is special about them. */
export const VALUE_SETS: Readonly<Record<string, Values>> = {
  'the defaults': {},
  'a bucket and three replicas': {
    tier: {
      replicas: 3,
      store: {
        type: 's3',
        s3: { bucket: 'images/circ', endpoint: 'https://s3.example', credentialsSecret: 's3', caSecret: 's3-ca' },
      },
      affinity: { nodeAffinity: {} },
      tolerations: [{ key: 'infra', operator: 'Exists' }],
    },
  },
  'cert-manager, Prometheus and Grafana': {
    tls: { mode: 'cert-manager' },
    monitoring: { enabled: true, dashboard: true, labels: { release: 'prometheus' } },
  },
  'an issuer of its own': {
    tls: { mode: 'cert-manager', certManager: { issuerRef: { name: 'ca', kind: 'ClusterIssuer' } } },
  },
  'an Ingress, registries and Secrets of its own': {
    image: { repository: 'mirror.example:5000/circ', digest: `sha256:${'a'.repeat(64)}` },
    imagePullSecrets: ['pull'],
    ingress: { enabled: true, host: 'push.example', className: 'nginx', tlsSecret: 'push-tls' },
    origins: {
      config: {
        default: 'registry.lab',
        denyNetworks: ['192.0.2.0/24'],
        proxy: 'http://egress:3128',
        whenOriginIsDown: 'refuse',
        registries: {
          'registry.lab': { endpoint: 'http://10.0.0.1:5000', ca: '/etc/circ/origins-secret/ca.crt', tagTtl: 0 },
          'docker.io': { credentialsFile: '/etc/circ/origins-secret/hub.json', bandwidth: '200MiB/s', tagTtl: '60s' },
          'quay.io': null,
        },
      },
      secret: 'origins',
    },
    tls: { mode: 'secret', secret: 'tls' },
    tier: { keySecret: 'key', store: { disk: { existingClaim: 'cache' } } },
    agent: { env: { CIRC_INSECURE: 'false' }, podAnnotations: { team: 'platform' } },
    networkPolicy: {
      nodeCidrs: ['10.0.0.0/8'],
      httpFrom: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'ingress-nginx' } } }],
    },
  },
  'hosts.toml in other hands, and no directory of the host': {
    agent: { certsDirectory: 'none', cache: { hostPath: '' }, port: 5050 },
    priorityClass: { create: false },
    flowSchema: { enabled: false },
    networkPolicy: { enabled: false },
  },
  'numbers and truths where Kubernetes wants words, and sizes without a unit': {
    agent: {
      nodeSelector: { cache: true, rack: 7 },
      podAnnotations: { price: 2_500_000, half: 0.5 },
      env: { CIRC_INSECURE: false, CIRC_AGENT_CACHE_SIZE: 21_474_836_480 },
      cache: { size: '21474836480' },
      seLinuxOptions: { type: 'spc_t' },
    },
    tier: {
      store: { size: '193273528320' },
      nodeSelector: { disks: 2 },
      podAnnotations: { price: 1 },
      serviceAccountAnnotations: { team: 12 },
      ipv6: true,
    },
    ingress: { enabled: true, host: 'push.example', annotations: { limit: 0, https: true } },
    monitoring: { dashboard: true, dashboardLabels: { grafana_dashboard: 1 } },
  },
  'its removal': { agent: { uninstall: true } },
};

/** Values that are mistakes, and what is said about them. */
export const WRONG_VALUES: Readonly<Record<string, readonly [Values, RegExp]>> = {
  'no image': [{ image: { repository: '' } }, /image\.repository: where you have pushed/],
  'a misspelt name': [{ agnet: {} }, /additional properties 'agnet' not allowed/],
  'an unknown distribution': [{ distribution: 'minikube' }, /distribution.*must be one of/s],
  'a size without meaning': [{ tier: { store: { size: 'large' } } }, /size.*does not match/s],
  'a misspelt key of the origins file': [
    { origins: { config: { registries: { 'registry.lab': { endpiont: 'http://10.0.0.1:5000' } } } } },
    /additional properties 'endpiont' not allowed/,
  ],
  'a registry’s endpoint with a path': [
    { origins: { config: { registries: { 'registry.lab': { endpoint: 'http://10.0.0.1:5000/v2/' } } } } },
    /endpoint.*does not match/s,
  ],
  'a size that the programs do not know': [{ tier: { store: { size: '1PiB' } } }, /size.*does not match/s],
  'a node that is left all of its disk': [{ agent: { cache: { minFree: '100%' } } }, /minFree.*does not match/s],
  'agents that are never replaced': [{ agent: { maxUnavailable: '0%' } }, /maxUnavailable.*does not match/s],
  'a list of directories, as containerd has it': [
    { agent: { certsDirectory: '/etc/containerd/certs.d:/etc/docker/certs.d' } },
    /certsDirectory.*does not match/s,
  ],
  'two replicas on one disk': [{ tier: { replicas: 2 } }, /more than one needs tier\.store\.type=s3/],
  'a bucket without name': [{ tier: { store: { type: 's3' } } }, /tier\.store\.s3\.bucket/],
  'a low port without root': [
    { agent: { certsDirectory: 'none', cache: { hostPath: '' } } },
    /needs a port from 1024 on/,
  ],
  'a node instead of its network': [{ networkPolicy: { nodeCidrs: ['10.0.0.1'] } }, /nodeCidrs.*does not match/s],
  'an Ingress without host': [{ ingress: { enabled: true } }, /ingress\.host/],
};
