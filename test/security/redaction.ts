import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Answer } from '../support/origin-client.ts';
import type { House } from '../support/house.ts';

/** A text that nobody may find, and what it is. */
export interface Mark {
  readonly name: string;
  readonly text: string;
}

/** Where something was found that should be nowhere. */
export interface Leak {
  readonly mark: string;
  readonly form: string;
  readonly where: string;
}

/** A mark is searched for in thousands of lines and files. */
const known = new WeakMap<Mark, readonly [string, string][]>();

/** The forms in which a secret may be written down that are long enough to tell: as it is, encoded, or as part of what is encoded. */
function formsOf(mark: Mark): readonly [string, string][] {
  const forms = known.get(mark) ?? allFormsOf(mark).filter(([, form]) => form.length >= 8);
  known.set(mark, forms);
  return forms;
}

function allFormsOf({ text }: Mark): [string, string][] {
  const bytes = Buffer.from(text);
  // Base64 of a text within others depends on where it begins there; the first and last characters belong to its neighbours.
  const shifted = [0, 1, 2].map((shift): [string, string] => [
    `base64, shifted by ${shift}`,
    Buffer.concat([Buffer.alloc(shift), bytes])
      .toString('base64')
      .slice(shift === 0 ? 0 : 4, -4),
  ]);
  return [
    ['as it is', text],
    ['URL-encoded', encodeURIComponent(text)],
    ['hex', bytes.toString('hex')],
    ['backwards', text.split('').toReversed().join('')],
    ...shifted,
  ];
}

/** Searches bytes for every form of every mark. */
export function leaksIn(where: string, bytes: Buffer, marks: readonly Mark[]): Leak[] {
  return marks.flatMap((mark) =>
    formsOf(mark)
      .filter(([, form]) => bytes.includes(form))
      .map(([form]) => ({ mark: mark.name, form, where })),
  );
}

/** Searches every file below a directory, and the names of the files too. */
export async function leaksBelow(directory: string, marks: readonly Mark[]): Promise<Leak[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const leaks: Leak[] = [];
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name);
    leaks.push(...leaksIn(`the name ${path}`, Buffer.from(path), marks));
    if (entry.isFile()) leaks.push(...leaksIn(path, await readOrGone(path), marks));
  }
  return leaks;
}

/** Content on its way in is renamed, or removed, while the directory is searched: then its new name is searched, or nobody can. */
async function readOrGone(path: string): Promise<Buffer> {
  return await readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return Buffer.alloc(0);
    throw error;
  });
}

/** Searches all that a house has written: its log, its metrics, its directories. */
export async function leaksOf(house: House, marks: readonly Mark[]): Promise<Leak[]> {
  const metrics = await Promise.all(house.statusUrls.map(async (url) => (await fetch(`${url}/metrics`)).text()));
  return [
    ...house.log.flatMap((line, index) =>
      leaksIn(`line ${index} of the log`, Buffer.from(JSON.stringify(line)), marks),
    ),
    ...metrics.flatMap((text, index) => leaksIn(`metrics ${index}`, Buffer.from(text), marks)),
    ...(await leaksBelow(house.agentDirectory, marks)),
    ...(await leaksBelow(house.tierDirectory, marks)),
  ];
}

/** Searches what a client was answered. */
export function leaksInAnswers(answers: readonly Answer[], marks: readonly Mark[]): Leak[] {
  return answers.flatMap(({ status, headers, body }, index) => [
    ...leaksIn(`headers of answer ${index} (${status})`, Buffer.from(JSON.stringify(headers)), marks),
    ...leaksIn(`body of answer ${index} (${status})`, body, marks),
  ]);
}
