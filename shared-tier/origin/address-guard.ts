import ipaddr from 'ipaddr.js';

/**
 * Tells public addresses from those that must not be dialled on a stranger's word: private, loopback, link-local
 * (cloud metadata), shared, multicast, reserved, and every IPv6 form that carries such an IPv4 address.
 *
 * Source: the IANA special-purpose registries
 * (https://www.iana.org/assignments/iana-ipv4-special-registry, https://www.iana.org/assignments/iana-ipv6-special-registry).
 */
export class AddressGuard {
  readonly #denied: [ipaddr.IPv4 | ipaddr.IPv6, number][];

  /** @param denyNetworks further networks in CIDR form */
  constructor(denyNetworks: readonly string[] = []) {
    this.#denied = denyNetworks.map((network) => ipaddr.parseCIDR(network));
  }

  /** Is this an address on the public internet? Text that is no address is not. */
  isPublic(address: string): boolean {
    if (!ipaddr.isValid(address)) return false;
    const parsed = ipaddr.process(address); // ::ffff:a.b.c.d becomes a.b.c.d
    // ipaddr.js knows the ranges; "unicast" is what is left. NAT64, 6to4 and Teredo have range names of their own.
    if (parsed.range() !== 'unicast') return false;
    if (parsed instanceof ipaddr.IPv6 && !parsed.match(GLOBAL_UNICAST, 3)) return false;
    return !this.#denied.some(([network, bits]) => network.kind() === parsed.kind() && parsed.match(network, bits));
  }
}

/** 2000::/3: what is outside of it is not routed on the internet, or is a transition prefix such as 64:ff9b:1::/48. */
const GLOBAL_UNICAST = ipaddr.IPv6.parse('2000::');

const PRIVATE_SUFFIX = /(?:^|\.)(?:localhost|local|internal|lan|home|corp|intranet|svc|cluster\.local|home\.arpa)$/;

/** Could this host name, not listed by the operator, be a registry on the internet? IP addresses in any spelling are not. */
export function isPublicName(host: string): boolean {
  const labels = host.split('.');
  return (
    labels.length >= 2 &&
    /[a-z]/.test(labels.at(-1) ?? '') &&
    !labels.at(-1)?.startsWith('0x') &&
    !PRIVATE_SUFFIX.test(host)
  );
}
