/** Text that is HTML already. Only `markup` makes it, so what others say cannot become it. */
export class Html {
  readonly #text: string;

  private constructor(text: string) {
    this.#text = text;
  }

  static of(parts: readonly string[], values: readonly Value[]): Html {
    return new Html(
      parts.map((part, index) => part + (index < values.length ? render(values[index] ?? '') : '')).join(''),
    );
  }

  toString(): string {
    return this.#text;
  }
}

type Value = string | number | Html | readonly Html[];

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

// oxlint-disable-next-line no-control-regex -- HTML has no way to write these
const CONTROLS = /[\u0000-\u0008\u000b-\u001f]/g;

/** HTML with values in it; texts are escaped, for element content and quoted attributes. */
export function markup(parts: TemplateStringsArray, ...values: readonly Value[]): Html {
  return Html.of(parts, values);
}

function render(value: Value): string {
  if (value instanceof Html) return value.toString();
  if (typeof value === 'object') return value.map(render).join('');
  return String(value)
    .replace(/[&<>"']/g, (each) => ENTITIES[each] ?? '')
    .replace(CONTROLS, '\u{fffd}');
}
