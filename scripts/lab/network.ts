import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type Output, run, type RunOptions } from './run.ts';

/** First three numbers of every address; namespaces of different labs do not see each other. */
const SUBNET = '10.77.0';

/** Says "up" once the loopback device works, then keeps the namespace alive. */
const HOLD = 'ip link set lo up && echo up && exec sleep infinity';

/** A network namespace: a machine of its own, as far as sockets are concerned. It has no route to anywhere else. */
export class Namespace implements AsyncDisposable {
  /** Of the process that keeps the namespace alive. */
  readonly pid: number;
  readonly name: string;
  /** IPv4 address on the lab's bridge; loopback when the namespace stands alone. */
  readonly address: string;
  readonly #holder: ChildProcess;

  private constructor(holder: ChildProcess, pid: number, name: string, address: string) {
    this.#holder = holder;
    this.pid = pid;
    this.name = name;
    this.address = address;
  }

  /** Makes a namespace with nothing in it but a working loopback device. */
  static async create(name: string, address = '127.0.0.1'): Promise<Namespace> {
    const holder = spawn('setpriv', ['--pdeathsig', 'KILL', '--', 'unshare', '--net', '--', 'sh', '-c', HOLD], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = once(holder, 'exit').then(() => 'ended');
    const first = await Promise.race([ended, once(holder.stdout, 'data').then(String)]);
    if (first !== 'up\n' || holder.pid === undefined) throw new Error(`no network namespace for ${name}`);
    holder.stdout.destroy();
    return new Namespace(holder, holder.pid, name, address);
  }

  /** The command line that runs `argv` in this namespace, under the pid it is started with. */
  command(argv: readonly string[]): string[] {
    return ['nsenter', `--net=/proc/${this.pid}/ns/net`, '--', ...argv];
  }

  /** Runs a program in this namespace to its end. */
  async run(argv: readonly string[], options: RunOptions = {}): Promise<Output> {
    return await run(this.command(argv), options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#holder, 'exit');
    if (this.#holder.kill('SIGKILL')) await ended;
  }
}

/** A hub with a bridge, and namespaces attached to it. */
export class Network implements AsyncDisposable {
  /** Where what the nodes share runs. */
  readonly hub: Namespace;
  readonly #leaves: Namespace[] = [];

  private constructor(hub: Namespace) {
    this.hub = hub;
  }

  static async create(): Promise<Network> {
    const hub = await Namespace.create('hub', `${SUBNET}.1`);
    const network = new Network(hub);
    await hub.run(['ip', 'link', 'add', 'br0', 'type', 'bridge']);
    await hub.run(['ip', 'address', 'add', `${hub.address}/24`, 'dev', 'br0']);
    await hub.run(['ip', 'link', 'set', 'br0', 'up']);
    return network;
  }

  /** A new namespace with a cable to the bridge; `name` has at most nine characters. */
  async attach(name: string): Promise<Namespace> {
    const leaf = await Namespace.create(name, `${SUBNET}.${this.#leaves.length + 2}`);
    this.#leaves.push(leaf);
    const cable = ['type', 'veth', 'peer', 'name', 'eth0', 'netns', String(leaf.pid)];
    await this.hub.run(['ip', 'link', 'add', `to-${name}`, ...cable]);
    await this.hub.run(['ip', 'link', 'set', `to-${name}`, 'master', 'br0', 'up']);
    await leaf.run(['ip', 'address', 'add', `${leaf.address}/24`, 'dev', 'eth0']);
    await leaf.run(['ip', 'link', 'set', 'eth0', 'up']);
    return leaf;
  }

  /** From now on what `leaf` sends to `other` is lost on its way, and neither is told. */
  async cut(leaf: Namespace, other: Namespace): Promise<void> {
    // A card that nobody has.
    await leaf.run(['ip', 'neigh', 'replace', other.address, 'lladdr', '02:00:00:00:00:01', 'dev', 'eth0']);
  }

  /** Takes `cut` back. */
  async mend(leaf: Namespace, other: Namespace): Promise<void> {
    await leaf.run(['ip', 'neigh', 'del', other.address, 'dev', 'eth0']);
  }

  /** Limits what `leaf` can send, in Mbit/s; `undefined` takes the limit away. */
  async limitUplink(leaf: Namespace, megabits: number | undefined): Promise<void> {
    if (megabits === undefined) {
      await leaf.run(['tc', 'qdisc', 'del', 'dev', 'eth0', 'root']);
      return;
    }
    const bucket = ['tbf', 'rate', `${megabits}mbit`, 'burst', '512kb', 'latency', '50ms'];
    await leaf.run(['tc', 'qdisc', 'replace', 'dev', 'eth0', 'root', ...bucket]);
  }

  /** Limits what can be sent to `leaf`, in Mbit/s. */
  async limitDownlink({ name }: Namespace, megabits: number): Promise<void> {
    const bucket = ['tbf', 'rate', `${megabits}mbit`, 'burst', '512kb', 'latency', '50ms'];
    await this.hub.run(['tc', 'qdisc', 'replace', 'dev', `to-${name}`, 'root', ...bucket]);
  }

  /** Limits what `leaf` can send to each of the receivers, in Mbit/s, as if each had a link of its own. */
  async limitLinks(leaf: Namespace, receivers: readonly Namespace[], megabits: number): Promise<void> {
    const tc = async (...args: readonly string[]): Promise<void> => void (await leaf.run(['tc', ...args]));
    await tc('qdisc', 'replace', 'dev', 'eth0', 'root', 'handle', '1:', 'htb');
    for (const [index, { address }] of receivers.entries()) {
      const flow = `1:${index + 1}`;
      const limit = ['htb', 'rate', `${megabits}mbit`, 'burst', '512kb'];
      await tc('class', 'add', 'dev', 'eth0', 'parent', '1:', 'classid', flow, ...limit);
      const match = ['protocol', 'ip', 'u32', 'match', 'ip', 'dst', `${address}/32`];
      await tc('filter', 'add', 'dev', 'eth0', 'parent', '1:', ...match, 'flowid', flow);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const namespace of [...this.#leaves, this.hub]) await namespace[Symbol.asyncDispose]();
  }
}
