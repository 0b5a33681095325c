import { type Html, markup } from './html.ts';

/** One bar: a whole, and a part of it at its bottom. */
export interface Bar {
  readonly whole: number;
  readonly part: number;
  /** What it says when it is pointed at. */
  readonly title: string;
}

export interface ChartOptions {
  /** What is to be seen, for who does not see it. */
  readonly label: string;
  /** What the chart's height stands for; the largest whole unless given. */
  readonly top?: number;
  /** What is written at its top. */
  readonly topText: string;
  readonly startText: string;
  readonly endText: string;
}

const WIDTH = 600;
const HEIGHT = 120;

/** Bars beside each other. They are as wide as there is room; what is written beside them has the size of all other text. */
export function chart(bars: readonly Bar[], { label, top, topText, startText, endText }: ChartOptions): Html {
  const most = top ?? Math.max(1, ...bars.map(({ whole }) => whole));
  const step = WIDTH / Math.max(bars.length, 24);
  const left = WIDTH - bars.length * step;
  const drawn = bars.map(({ whole, part, title }, index) => {
    const x = (left + index * step).toFixed(1);
    const width = Math.max(1, step - 1).toFixed(1);
    const [outer, inner] = [rect('whole', x, width, whole / most), rect('part', x, width, part / most)];
    return markup`<g><title>${title}</title>${outer}${inner}</g>`;
  });
  return markup`<p class="dim">${topText}</p>
    <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label="${label}">${drawn}</svg>
    <p class="dim ends"><span>${startText}</span><span>${endText}</span></p>`;
}

function rect(name: string, x: string, width: string, part: number): Html {
  const height = Math.min(1, Math.max(0, part)) * HEIGHT;
  const [y, h] = [(HEIGHT - height).toFixed(1), height.toFixed(1)];
  return markup`<rect class="${name}" x="${x}" y="${y}" width="${width}" height="${h}"/>`;
}
