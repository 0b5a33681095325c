import { dirname, join } from 'node:path';

/** A link to a file of this repository. */
export interface Link {
  /** From the repository's root. */
  readonly file: string;
  /** As it stands behind the `#`. */
  readonly heading: string | undefined;
}

/** The relative links in a Markdown text; `path` is where that lies, from the repository's root. */
export function linksOf(path: string, text: string): Link[] {
  return Array.from(text.matchAll(/\]\(([^)#:\s]*)(?:#([^)\s]*))?\)/g), ([, file = '', heading]) => ({
    file: file === '' ? path : join(dirname(path), file),
    heading,
  }));
}

/** The names by which links can lead to the headings of a Markdown text, as GitHub makes them. */
export function headingsOf(text: string): string[] {
  const prose = text.replace(/^```[^]*?^```/gm, '');
  return Array.from(prose.matchAll(/^#+ (.+)$/gm), ([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}
