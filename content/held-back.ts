import type { ReadOptions } from './read-chunks.ts';
import { unlessAborted } from './unless-aborted.ts';

/** For a whole file whose last byte waits until all bytes are known to be right. */
export function heldBack(checked: Promise<void>, sizeBytes: number): Pick<ReadOptions, 'availableTo' | 'availableNow'> {
  let isChecked = false;
  const end = (): number => (isChecked ? sizeBytes : sizeBytes - 1);
  return {
    availableNow: (position) => Math.max(position, end()),
    availableTo: async (position, signal) => {
      if (end() <= position) {
        await unlessAborted(checked, signal);
        isChecked = true;
      }
      return end();
    },
  };
}
