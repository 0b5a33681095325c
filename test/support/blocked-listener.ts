// Listens as our programs do, tells its port, and never accepts anybody: its event loop stands still from then on.
import { fastify } from 'fastify';
import { listenOn } from '../../service/listen.ts';

const { port } = await listenOn(fastify(), { host: '127.0.0.1', port: 0 });
process.stdout.write(`${port}\n`, () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
