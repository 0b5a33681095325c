/** The end-to-end test in which all parts come together; what it finds broken, an earlier one has told in fewer words. */
const LAST = '/cluster.test.ts';

/** Test files by name, so that all runs are alike, and the last chapter at the end. */
export function inChapters<File extends { readonly moduleId: string }>(files: readonly File[]): File[] {
  const isLast = ({ moduleId }: File): number => Number(moduleId.endsWith(LAST));
  return files.toSorted((a, b) => isLast(a) - isLast(b) || (a.moduleId < b.moduleId ? -1 : 1));
}
