import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const LISTENER = fileURLToPath(new URL('../support/blocked-listener.ts', import.meta.url));
const CLIENTS = 2_000;

test('two thousand may connect at once to a program that has no time to accept any of them', async () => {
  const child = spawn(process.execPath, [LISTENER], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const sockets = Array.from({ length: CLIENTS }, () => connect(Number(line.toString()), '127.0.0.1'));
  try {
    const signal = AbortSignal.timeout(10_000);
    const all = Promise.all(sockets.map(async (socket) => await once(socket, 'connect', { signal })));
    expect(await all).toHaveLength(CLIENTS);
  } finally {
    for (const socket of sockets) socket.destroy();
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
});
