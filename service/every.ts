/** Does something again and again, with a pause in between, until it is disposed. What it throws goes to `failed`. */
export function every(pauseMs: number, work: () => Promise<void>, failed: (error: unknown) => void): Disposable {
  let timer: NodeJS.Timeout | undefined;
  let isEnded = false;
  const next = (): void => {
    if (!isEnded) timer = setTimeout(turn, pauseMs).unref();
  };
  const turn = (): void => void work().catch(failed).finally(next);
  next();
  return {
    [Symbol.dispose]: () => {
      isEnded = true;
      clearTimeout(timer);
    },
  };
}
