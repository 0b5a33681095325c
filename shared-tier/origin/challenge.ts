import type { OriginResponse } from './response.ts';

/** One challenge of a `WWW-Authenticate` header (RFC 9110 section 11.6.1). */
export interface Challenge {
  /** Lower-case: `bearer`, `basic`. */
  readonly scheme: string;
  readonly parameters: ReadonlyMap<string, string>;
}

const MAX_LENGTH = 4096;
const TOKEN = "[\\w!#$%&'*+.^`|~-]+";
// Without the escapes that the grammar allows: clients do not agree on them, and no registry needs them.
const PARAMETER = `${TOKEN}=(?:"[\\x20\\x21\\x23-\\x5b\\x5d-\\x7e]*"|${TOKEN})`;
const COMMA = '[ \\t]*,[ \\t]*';
const CHALLENGE = `(${TOKEN})(?: +(${PARAMETER}(?:${COMMA}${PARAMETER})*))?`;
const LINE = new RegExp(`^${CHALLENGE}(?:${COMMA}${CHALLENGE})*$`);
const EACH_CHALLENGE = new RegExp(`${CHALLENGE}(?:${COMMA}|$)`, 'gy');
const EACH_PARAMETER = new RegExp(`(${TOKEN})=(?:"([^"]*)"|(${TOKEN}))`, 'g');

/** The lines of `WWW-Authenticate` as they came. */
export function challengeLines({ headers }: Pick<OriginResponse, 'headers'>): readonly string[] {
  return [headers['www-authenticate'] ?? []].flat();
}

/**
 * Parses all challenges of the header's lines. Whatever could mean something else to another parser makes all of it
 * mean nothing: what is passed on to clients, and decides where they send their secrets, must be read in one way only.
 *
 * @returns undefined for anything but the plain form of the grammar, or a parameter that is given twice
 */
export function parseChallenges(lines: readonly string[]): Challenge[] | undefined {
  if (lines.reduce((sum, { length }) => sum + length, 0) > MAX_LENGTH || !lines.every((line) => LINE.test(line))) {
    return undefined;
  }
  const challenges = lines.flatMap((line) =>
    Array.from(line.matchAll(EACH_CHALLENGE), ([, scheme = '', text = '']) => {
      const pairs = Array.from(text.matchAll(EACH_PARAMETER), ([, name = '', quoted, plain]): [string, string] => [
        name.toLowerCase(),
        quoted ?? plain ?? '',
      ]);
      return { scheme: scheme.toLowerCase(), parameters: new Map(pairs), count: pairs.length };
    }),
  );
  return challenges.every(({ parameters, count }) => parameters.size === count) ? challenges : undefined;
}
