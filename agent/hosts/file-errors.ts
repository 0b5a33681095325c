/** For `catch`: a value for what is not there, or a link that leads nowhere. */
export function missing<T>(value: T): (error: unknown) => T {
  return (error) => {
    if (['ENOENT', 'ELOOP'].includes(codeOf(error))) return value;
    throw error;
  };
}

/** `EROFS`, `EACCES`, … */
export function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException | undefined)?.code ?? 'unknown';
}
