import { hash } from 'node:crypto';

/**
 * Orders the members by their preference for the key: every node computes the same order, so the same content is asked
 * of the same replica, and when one goes only its share moves (https://en.wikipedia.org/wiki/Rendezvous_hashing).
 */
export function rankFor<Member>(key: string, members: readonly Member[], nameOf: (member: Member) => string): Member[] {
  return members
    .map((member) => ({ member, weight: hash('sha256', `${key}\n${nameOf(member)}`) }))
    .toSorted((a, b) => (a.weight < b.weight ? 1 : -1))
    .map(({ member }) => member);
}
