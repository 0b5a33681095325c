import { readVersion } from '../../service/version.ts';
import type { ImageConfig } from './oci-layout.ts';
import { APP, IMAGE_USER, NODE } from './root-layers.ts';

/** How the image runs, here and in the Dockerfile. Which program: the first argument, `agent/main.js` or `shared-tier/main.js`. */
export const IMAGE_CONFIG: ImageConfig = {
  User: `${IMAGE_USER}:${IMAGE_USER}`,
  Entrypoint: [`/${NODE}`],
  Cmd: ['agent/main.js', '--help'],
  WorkingDir: `/${APP}`,
  Env: ['PATH=/usr/local/bin', 'NODE_ENV=production'],
  Labels: {
    'org.opencontainers.image.title': 'circ',
    'org.opencontainers.image.version': readVersion(),
    'org.opencontainers.image.licenses': 'Apache-2.0',
  },
};
