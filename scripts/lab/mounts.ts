/** What is run by {@link privately}: everybody else's /run stays as it is. */
const SCRIPT = 'mount -t tmpfs tmpfs /run && exec "$0" "$@"';

/**
 * The command line that runs `argv`, under the pid it is started with, with mounts and a /run of its own. Nobody else sees
 * them, and they vanish with the process: container engines mount what they unpack, and leave sockets and locks behind.
 */
export function privately(argv: readonly string[]): string[] {
  return ['unshare', '--mount', '--', 'sh', '-c', SCRIPT, ...argv];
}
