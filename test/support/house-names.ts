import dns, { type LookupAddress } from 'node:dns';
import { syncBuiltinESMExports } from 'node:module';
import { isIPv6 } from 'node:net';

/** What each look-up of a name is answered with, one after the other; the last answer stays. */
export type Answers = Readonly<Record<string, readonly (readonly string[])[]>>;

/** Name resolution of this process, as a test wants it. */
export interface Names extends Disposable {
  /** How often a name was looked up. */
  count(name: string): number;
}

type Callback = (error: Error | null, address?: string | LookupAddress[], family?: number) => void;

/**
 * Answers `dns.lookup` for these names, as a server in an attacker's hand would. That is the seam, because what it gives is
 * what is judged and dialled; a server of the test's own could not be asked: look-ups are the C library's, which reads
 * the machine's resolv.conf, and `dns.setServers` does not change them. Other names are looked up as ever:
 * `using names = answerNames({ 'rebind.test': [['127.0.0.1']] })`.
 */
export function answerNames(answers: Answers): Names {
  const real = dns.lookup;
  const counts = new Map<string, number>();
  const lookup = (name: string, options: { all?: boolean }, callback: Callback): void => {
    const list = answers[name];
    if (list === undefined) {
      (real as (name: string, options: object, callback: Callback) => void)(name, options, callback);
      return;
    }
    const count = counts.get(name) ?? 0;
    counts.set(name, count + 1);
    const addresses = (list[Math.min(count, list.length - 1)] ?? []).map((address) => ({
      address,
      family: isIPv6(address) ? 6 : 4,
    }));
    const [first] = addresses;
    if (options.all === true) callback(null, addresses);
    else callback(null, first?.address, first?.family);
  };
  Object.assign(dns, { lookup });
  syncBuiltinESMExports();
  return {
    count: (name) => counts.get(name) ?? 0,
    [Symbol.dispose]() {
      Object.assign(dns, { lookup: real });
      syncBuiltinESMExports();
    },
  };
}
