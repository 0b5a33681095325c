import { cp, mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { makeOnce } from './make-once.ts';
import { removeCgroups } from './cgroups.ts';
import { Daemon } from './daemon.ts';
import { unpackPackages } from './debian.ts';
import type { Namespace } from './network.ts';
import { cacheDir, exists } from './paths.ts';
import { run } from './run.ts';

/** Raise it when what is unpacked changes. */
const RECIPE = 1;

const packages = join(cacheDir, `systemd-${RECIPE}`);

/** Of a Debian whose /usr has everything, directories that are links there. */
const MERGED = ['bin', 'sbin', 'lib', 'lib64'];

/** Unpacks Debian's systemd into the cache, unless it is there. */
export async function ensureSystemd(say: (line: string) => void): Promise<void> {
  await makeOnce(packages, async (scratch) => {
    say('apt-get download systemd …');
    await unpackPackages(['systemd'], scratch);
    for (const name of MERGED) {
      const directory = join(scratch, name);
      if (!(await exists(directory))) continue;
      await cp(directory, join(scratch, 'usr', name), { recursive: true, verbatimSymlinks: true });
      await rm(directory, { recursive: true });
    }
    return scratch;
  });
}

/** Services of Debian that want devices, consoles or a message bus. */
const MASKED = [
  'getty.target',
  'systemd-logind.service',
  'systemd-tmpfiles-setup-dev.service',
  'systemd-udevd.service',
  'systemd-udev-trigger.service',
];

/**
 * Makes the namespaces a machine: this machine's files, of which it changes its own copy, in memory; systemd and units of the
 * test; no kernel setting that it could write. `$1`: its directory, `$2`: name of its cgroup, `$3`: Debian's systemd.
 */
const BOOT = `
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$1/disk"
mkdir "$1/disk/work"
cp -a "$3" "$1/disk/changes"
root="$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/disk/changes,workdir=$1/disk/work" overlay "$root"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
for directory in dev run tmp; do mount -t tmpfs -o mode=755 tmpfs "$root/$directory"; done
chmod 1777 "$root/tmp"
for device in null zero full random urandom tty; do touch "$root/dev/$device"; mount --bind /dev/$device "$root/dev/$device"; done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
else
  mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
  mkdir "$root/sys/fs/cgroup/systemd"
  mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
fi
rm -rf "$root/etc/machine-id" "$root/etc/circ" "$root/opt/circ" "$root/var/lib/circ" "$root/var/log/journal"
tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id" # without one, Debian would enable all that is installed
mkdir -p "$root/opt/circ" "$root/etc/circ" "$root/etc/containerd/certs.d" "$root/etc/systemd/system"
mount --bind "$1/opt" "$root/opt/circ"
mount --bind "$1/etc" "$root/etc/circ"
mount --bind "$1/certs.d" "$root/etc/containerd/certs.d"
mount --bind "$1/units" "$root/etc/systemd/system"
getent passwd circ >/dev/null || echo 'circ:x:990:990::/:/usr/sbin/nologin' >>"$root/etc/passwd"
getent group circ >/dev/null || echo 'circ:x:990:' >>"$root/etc/group"
mkdir -p "$root/mnt"
cd "$root"
pivot_root . mnt
umount -l /mnt
exec env -i container=lab PATH=/usr/sbin:/usr/bin /usr/lib/systemd/systemd --system --unit=multi-user.target \\
  --log-target=journal --show-status=false
`;

/** Enters a cgroup of its own, so that systemd does not find the one of the real machine. */
const ENTER = `
for hierarchy in /sys/fs/cgroup/systemd /sys/fs/cgroup; do
  [ -e $hierarchy/cgroup.procs ] || continue
  mkdir -p "$hierarchy/$2" && echo $$ >"$hierarchy/$2/cgroup.procs" && break
done
exec unshare --mount --pid --uts --ipc --cgroup --fork --kill-child=KILL -- bash -c "$4" boot "$1" "$2" "$3"
`;

export interface SystemdOptions {
  readonly namespace: Namespace;
  /** Below it: `opt`, `etc` and `certs.d` become /opt/circ, /etc/circ and /etc/containerd/certs.d. */
  readonly directory: string;
  /** Its journal is beside it. */
  readonly logFile: string;
  /** Unit files; all are enabled. */
  readonly units: readonly string[];
}

/** A machine with systemd as its first process, in a network namespace. */
export class SystemdMachine implements AsyncDisposable {
  readonly #unshare: Daemon;
  readonly #cgroup: string;
  #init = '';
  #journal: Daemon | undefined;

  private constructor(unshare: Daemon, cgroup: string) {
    this.#unshare = unshare;
    this.#cgroup = cgroup;
  }

  static async start({ namespace, directory, logFile, units }: SystemdOptions): Promise<SystemdMachine> {
    for (const part of ['disk', 'root', 'opt', 'etc', 'certs.d', 'units/multi-user.target.wants']) {
      await mkdir(join(directory, part), { recursive: true });
    }
    for (const unit of units) await run(['cp', unit, join(directory, 'units')]);
    const places = { directory, cgroup: `circ-e2e-${process.pid}-${namespace.name}`, packages };
    for (const unit of MASKED) await run(['ln', '-sf', '/dev/null', join(directory, 'units', unit)]);
    const enabled = units.map((unit) => unit.slice(unit.lastIndexOf('/') + 1));
    for (const unit of enabled)
      await run(['ln', '-s', `../${unit}`, join(directory, 'units/multi-user.target.wants', unit)]);
    const argv = ['bash', '-c', ENTER, 'enter', ...Object.values(places), BOOT];
    const unshare = await Daemon.start({ argv: namespace.command(argv), logFile });
    const machine = new SystemdMachine(unshare, places.cgroup);
    try {
      await unshare.until('booted', async () => {
        machine.#init = (await readFile(`/proc/${unshare.pid}/task/${unshare.pid}/children`, 'utf8')).trim();
        return (await machine.run(['systemctl', 'is-system-running'])) === 'running';
      });
      const follow = ['journalctl', '--follow', '--no-tail', '--output=short-monotonic'];
      const journal = logFile.replace(/\.log$/, '-journal.log');
      machine.#journal = await Daemon.start({ argv: machine.#command(follow), logFile: journal });
    } catch (error) {
      await machine[Symbol.asyncDispose]();
      throw error;
    }
    return machine;
  }

  /** Runs a program on the machine, and returns what it printed. */
  async run(argv: readonly string[]): Promise<string> {
    const { stdout } = await run(this.#command(argv), { env: { PATH: '/usr/sbin:/usr/bin', SYSTEMD_PAGER: '' } });
    return stdout.trim();
  }

  /** A property of a unit, such as `ActiveState`. */
  async property(unit: string, name: string): Promise<string> {
    return await this.run(['systemctl', 'show', unit, '--value', '--property', name]);
  }

  #command(argv: readonly string[]): string[] {
    return ['nsenter', '-t', this.#init, '-m', '-p', '-u', '-i', '-n', '-C', '--', ...argv];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#journal?.stop('SIGKILL');
    await this.#unshare.stop('SIGKILL');
    await removeCgroups(`/${this.#cgroup}`);
  }
}
