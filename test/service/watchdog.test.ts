import { describe, test } from 'vitest';
import { Program, run } from '../support/house-process.ts';

const PROGRAM = 'test/support/watched-program.ts';

describe.concurrent('a watched program', () => {
  test('whose event loop stands still is killed, and says why', async ({ expect }) => {
    const { code, signal, stderr } = await run(PROGRAM, { args: ['block'] });
    expect([code, signal]).toEqual([null, 'SIGKILL']);
    expect(stderr).toContain('the event loop did not turn for 1 s');
  });

  test.for([
    ['stands still for a moment only', 'block-shortly'],
    ['has nothing more to do', 'nothing'],
    ['is not watched any more', 'dispose'],
  ])('that %s ends by itself', async ([, what = ''], { expect }) => {
    expect(await run(PROGRAM, { args: [what] })).toMatchObject({ code: 0, signal: null, stderr: 'ready: yes\n' });
  });

  test('that was stopped as a whole goes on', async ({ expect }) => {
    await using program = new Program(PROGRAM, { args: ['stay'] });
    await program.says(/ready: (yes)/);
    program.kill('SIGSTOP');
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    program.kill('SIGCONT');
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    program.kill('SIGTERM');
    expect(await program.exited()).toMatchObject({ signal: 'SIGTERM', stderr: 'ready: yes\n' });
  });
});
