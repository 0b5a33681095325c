import { readdir, readFile, writeFile } from 'node:fs/promises';

/** Resident memory of a process, in bytes. */
export interface Resident {
  readonly bytes: number;
  /** The most it was since its start, or since `resetPeak`. */
  readonly peakBytes: number;
}

/** Source: proc_pid_status(5), VmRSS and VmHWM. */
export async function residentMemory(pid: number): Promise<Resident> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024;
  return { bytes: field('VmRSS'), peakBytes: field('VmHWM') };
}

/** Files, sockets and the like that a process has open. Source: proc_pid_fd(5). */
export async function openFiles(pid: number): Promise<number> {
  return (await readdir(`/proc/${pid}/fd`)).length;
}

/** The kernel begins to look for the peak anew. Source: proc_pid_clear_refs(5), value 5. */
export async function resetPeak(pid: number): Promise<void> {
  await writeFile(`/proc/${pid}/clear_refs`, '5');
}

/** Of USER_HZ, which is 100 on all Linux architectures that Node runs on. */
const TICKS_PER_SECOND = 100;

/** Processor time a process and its children that still run have taken, in seconds. Source: proc_pid_stat(5). */
export async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  // The second field is the program's name, in parentheses; user and system time are the 14th and 15th.
  const [user = '0', system = '0'] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11);
  let seconds = (Number(user) + Number(system)) / TICKS_PER_SECOND;
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
  for (const child of children.split(' ')) if (child.trim() !== '') seconds += await cpuSeconds(Number(child));
  return seconds;
}
