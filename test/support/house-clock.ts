import { setTimeout as sleep } from 'node:timers/promises';

/** The clocks of this process, which a test may put forward. Timers are not touched: they go on as ever. */
export interface Clock extends Disposable {
  /** Puts `Date.now` and `performance.now` forward. */
  forward(ms: number): Promise<void>;
}

/** Takes the clocks over until it is disposed: `using clock = takeClock()`. */
export function takeClock(): Clock {
  const dateNow = Date.now;
  // oxlint-disable-next-line unbound-method -- it is put back, and called with its own `this`
  const performanceNow = performance.now;
  let aheadMs = 0;
  Date.now = () => dateNow() + aheadMs;
  performance.now = () => performanceNow.call(performance) + aheadMs;
  return {
    async forward(ms) {
      aheadMs += ms;
      // lru-cache looks at the clock at most once a millisecond, and uses a timer of its own for that.
      await sleep(3);
    },
    [Symbol.dispose]() {
      Date.now = dateNow;
      performance.now = performanceNow;
    },
  };
}
