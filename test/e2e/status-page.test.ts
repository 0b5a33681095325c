import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Browser, type Page } from '../../scripts/lab/browser.ts';
import { images } from '../../scripts/lab/images.ts';
import { type Lab, REGISTRY } from '../../scripts/lab/lab.ts';
import type { Namespace } from '../../scripts/lab/network.ts';
import { openLab } from './support.ts';

const PHONE = { width: 390, height: 844 };
const DESK = { width: 1280, height: 800 };
/** Longer than a phone is wide. */
const LONG = 'registry-of-a-department-with-a-long-name.eu-central-1.cloud.example';
const PAGE = 'http://127.0.0.1:5062/';
/** WCAG 2.1, AA: https://www.w3.org/TR/WCAG21/#contrast-minimum */
const CONTRAST = 4.5;
const SMALLEST_PX = 12;

test('the status page reads well in a browser, on a phone and on a desk, light and dark', async () => {
  await using lab = await openLab({ registries: [LONG], tierEnv: { CIRC_TIER_STATUS_LISTEN: '0.0.0.0:5062' } });
  await fill(lab);
  await using here = await browse(lab, lab.network.hub);
  await using elsewhere = await browse(lab, lab.node);
  for (const [place, browser, url] of [
    ['here', here, PAGE],
    ['elsewhere', elsewhere, `http://${lab.network.hub.address}:5062/`],
  ] as const) {
    for (const size of [PHONE, DESK]) {
      for (const colorScheme of ['light', 'dark'] as const) {
        const page = await browser.open(url, { ...size, colorScheme });
        await page.screenshot(join(lab.logs, `${place}-${size.width}-${colorScheme}.png`));
        const { overflow, texts } = await look(page);
        expect(overflow).toEqual([]);
        const unreadable = texts.filter(({ contrast, px }) => contrast < CONTRAST || px < SMALLEST_PX);
        expect(unreadable).toEqual([]);
        const words = texts.map(({ text }) => text).join('\n');
        expect(words).toContain('Answered from cache');
        expect(words.includes(LONG)).toBe(place === 'here');
        expect(page.complaints).toEqual([]);
        expect(page.requests).toEqual([url]);
      }
    }
  }
});

test('the status page that stands open shows how far a fetch has come', async () => {
  await using lab = await openLab();
  await lab.network.limitUplink(lab.originNode, 20);
  await using browser = await browse(lab, lab.network.hub);
  const page = await browser.open(PAGE, { ...PHONE, colorScheme: 'light' });
  const pulling = lab.containerd.pull(`${REGISTRY}/${images.layer}`);
  const received = async (): Promise<number> => Number(await page.evaluate(RECEIVED).catch(() => 0));
  const bound = { timeout: 25_000, interval: 100 };
  await expect.poll(received, bound).toBeGreaterThan(0);
  const [first, loads] = [await received(), page.loads];
  await page.screenshot(join(lab.logs, 'fetch.png'));
  // Nobody touches it.
  await expect.poll(received, bound).toBeGreaterThan(first);
  expect(page.loads).toBeGreaterThan(loads);
  expect(page.complaints).toEqual([]);
  expect(new Set(page.requests)).toEqual(new Set([PAGE]));
  await lab.network.limitUplink(lab.originNode, undefined);
  await pulling;
});

/** Bytes of the fetch that has come furthest. */
const RECEIVED = `Math.max(0, ...[...document.querySelectorAll('progress[max]')].map(({ value }) => value))`;

interface Text {
  readonly text: string;
  /** Between it and what is behind it: 1 to 21. */
  readonly contrast: number;
  /** Size of its font. */
  readonly px: number;
}

interface Look {
  /** What is wider than the window, or than the box that it is in. */
  readonly overflow: readonly string[];
  readonly texts: readonly Text[];
}

async function look(page: Page): Promise<Look> {
  const found = JSON.parse(String(await page.evaluate(`JSON.stringify((${LOOK})())`))) as Look;
  expect(found.texts.length).toBeGreaterThan(20);
  return found;
}

/** Runs in the page. */
const LOOK = String.raw`() => {
  const parse = (color) => (color.match(/[\d.]+/g) ?? []).map(Number);
  const luminance = (color) => {
    const [r, g, b] = parse(color).map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const color = getComputedStyle(each).backgroundColor;
      if (parse(color)[3] !== 0) return color;
    }
    return 'rgb(255, 255, 255)';
  };
  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    const text = node.data.trim();
    if (text === '' || element.closest('title')) continue;
    const style = getComputedStyle(element);
    const lights = [luminance(style.color), luminance(behind(element))].sort((a, b) => b - a);
    texts.push({ text, contrast: (lights[0] + 0.05) / (lights[1] + 0.05), px: parseFloat(style.fontSize) });
  }
  const boxes = [document.documentElement, ...document.querySelectorAll('body, section, dl, dl div, table, svg')];
  const overflow = boxes.filter((box) => box.scrollWidth > box.clientWidth && box.clientWidth > 0).map((box) => box.tagName);
  if (document.documentElement.scrollWidth > innerWidth) overflow.push('the window');
  return { overflow, texts };
}`;

/** Images in the cache, some under a long name. */
async function fill(lab: Lab): Promise<void> {
  await lab.containerd.pull(`${REGISTRY}/${images.debian}`);
  await lab.containerd.pull(`${REGISTRY}/${images.multi}`);
  await lab.containerd.pull(`${LONG}/${images.docker}`);
}

async function browse(lab: Lab, namespace: Namespace): Promise<Browser> {
  const name = `browser-${namespace.name}`;
  return await Browser.start({
    namespace,
    directory: join(lab.directory, name),
    logFile: join(lab.logs, `${name}.log`),
  });
}
