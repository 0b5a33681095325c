/** One challenge of a `WWW-Authenticate` header (RFC 9110 section 11.6.1). */
export interface Challenge {
  /** Lower-case: `bearer`, `basic`. */
  readonly scheme: string;
  readonly parameters: ReadonlyMap<string, string>;
}

const MAX_LENGTH = 4096;
const PART = /^(?:([\w!#$%&'*+.^`|~-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))|([\w!#$%&'*+.^`|~-]+))/;

/** Parses all challenges of the header's lines. What does not follow the grammar ends the list. */
export function parseChallenges(header: string | readonly string[] | undefined): Challenge[] {
  const challenges: { scheme: string; parameters: Map<string, string> }[] = [];
  let rest = [header ?? []].flat().join(', ').slice(0, MAX_LENGTH);
  for (;;) {
    rest = rest.replace(/^[\s,]+/, '');
    const match = PART.exec(rest);
    if (!match) return challenges;
    const [whole, name, quoted, plain, scheme] = match;
    if (scheme !== undefined) challenges.push({ scheme: scheme.toLowerCase(), parameters: new Map() });
    else challenges.at(-1)?.parameters.set((name ?? '').toLowerCase(), quoted?.replace(/\\(.)/g, '$1') ?? plain ?? '');
    rest = rest.slice(whole.length);
  }
}
