// A program with a watchdog, for tests of it: what it does is named by its argument.
import { writeSync } from 'node:fs';
import { startWatchdog } from '../../service/watchdog.ts';

const TURN_MS = 200;
const BLOCKED_MS = 10_000;

function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

const failed = (reason: unknown): void => void writeSync(2, `failed: ${String(reason)}\n`);
const watchdog = startWatchdog({ failed, turnMs: TURN_MS, turns: 5 });
writeSync(2, 'ready: yes\n');
const [what] = process.argv.slice(2);
// The watchdog begins to count when its thread has started.
if (what === 'block') setTimeout(block, 1_000, BLOCKED_MS);
if (what === 'block-shortly') setTimeout(block, 1_000, 2 * TURN_MS);
if (what === 'stay') setInterval(() => undefined, 1_000);
if (what === 'dispose') {
  setTimeout(() => {
    watchdog[Symbol.dispose]();
    block(2_000);
  }, 1_000);
}
