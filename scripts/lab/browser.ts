import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { browserEnv, browserPath, fontsDirectory } from './debian-tools.ts';
import { DevTools, type DevToolsEvent } from './devtools.ts';
import type { Namespace } from './network.ts';

export interface BrowserOptions {
  readonly namespace: Namespace;
  /** Its profile and caches lie below. */
  readonly directory: string;
  readonly logFile: string;
}

export interface View {
  /** In CSS pixels. */
  readonly width: number;
  readonly height: number;
  readonly colorScheme: 'light' | 'dark';
}

/** The browser runs as root here, where its sandbox does not work; what it opens are pages of ours. */
const ARGUMENTS = ['--no-sandbox', '--disable-dev-shm-usage', '--hide-scrollbars', '--remote-debugging-pipe'];
const STOP_MS = 10_000;

/** Chromium without a screen, in a network namespace. */
export class Browser implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #devTools: DevTools;

  private constructor(child: ChildProcess, devTools: DevTools) {
    this.#child = child;
    this.#devTools = devTools;
  }

  static async start({ namespace, directory, logFile }: BrowserOptions): Promise<Browser> {
    await mkdir(directory, { recursive: true });
    const fonts = join(directory, 'fonts.conf');
    const cache = join(directory, 'fonts');
    await writeFile(fonts, `<fontconfig><dir>${fontsDirectory}</dir><cachedir>${cache}</cachedir></fontconfig>\n`);
    await using log = await open(logFile, 'a');
    const argv = [browserPath, ...ARGUMENTS, `--user-data-dir=${join(directory, 'profile')}`];
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...namespace.command(argv)], {
      stdio: ['ignore', log.fd, log.fd, 'pipe', 'pipe'],
      env: { ...browserEnv(), HOME: directory, FONTCONFIG_FILE: fonts },
    });
    await once(child, 'spawn');
    const devTools = new DevTools(child.stdio[3] as Writable, child.stdio[4] as Readable);
    const browser = new Browser(child, devTools);
    try {
      await devTools.call('Browser.getVersion');
    } catch (error) {
      await browser[Symbol.asyncDispose]();
      throw error;
    }
    return browser;
  }

  /** A page that has loaded. */
  async open(url: string, view: View): Promise<Page> {
    const { targetId } = await this.#devTools.call('Target.createTarget', { url: 'about:blank' });
    const attach = { targetId, flatten: true };
    const { sessionId } = await this.#devTools.call('Target.attachToTarget', attach);
    const page = new Page(this.#devTools, String(sessionId));
    await page.enable();
    await page.show(view);
    await page.load(url);
    return page;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#child, 'exit');
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    // Asked, it ends its other processes as well.
    const closing = this.#devTools.call('Browser.close').catch(() => undefined);
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MS);
    await ended;
    clearTimeout(timer);
    await closing;
  }
}

/** One page, and what it did. */
export class Page {
  /** URLs that were asked for, in order. */
  readonly requests: string[] = [];
  /** What the browser complained about: errors and warnings of its console, and of scripts. */
  readonly complaints: string[] = [];
  readonly #devTools: DevTools;
  readonly #session: string;
  #loads = 0;

  constructor(devTools: DevTools, session: string) {
    this.#devTools = devTools;
    this.#session = session;
    devTools.listen(session, (event) => this.#hear(event));
  }

  /** How often it has been loaded, by whomever. */
  get loads(): number {
    return this.#loads;
  }

  /** Has the browser tell what happens. */
  async enable(): Promise<void> {
    for (const domain of ['Page', 'Network', 'Log', 'Runtime']) await this.#call(`${domain}.enable`);
  }

  async show({ width, height, colorScheme }: View): Promise<void> {
    const screen = { width, height, deviceScaleFactor: 1, mobile: width < 600 };
    await this.#call('Emulation.setDeviceMetricsOverride', screen);
    const features = [{ name: 'prefers-color-scheme', value: colorScheme }];
    await this.#call('Emulation.setEmulatedMedia', { features });
  }

  async load(url: string): Promise<void> {
    const { errorText } = await this.#call('Page.navigate', { url });
    if (typeof errorText === 'string') throw new Error(`${url}: ${errorText}`);
    await this.evaluate(
      `new Promise((done) => document.readyState === 'complete' ? done() : addEventListener('load', done))`,
    );
  }

  /** The value of an expression in the page; JSON can carry it. @throws while the page is being replaced */
  async evaluate(expression: string): Promise<unknown> {
    const options = { expression, returnByValue: true, awaitPromise: true };
    const { result, exceptionDetails } = await this.#call('Runtime.evaluate', options);
    if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails));
    return (result as { readonly value?: unknown }).value;
  }

  /** A PNG of the whole page, also of what lies below the window. */
  async screenshot(file: string): Promise<void> {
    const { data } = await this.#call('Page.captureScreenshot', { captureBeyondViewport: true });
    await writeFile(file, Buffer.from(String(data), 'base64'));
  }

  async #call(method: string, params = {}): Promise<Readonly<Record<string, unknown>>> {
    return await this.#devTools.call(method, params, this.#session);
  }

  #hear({ method, params }: DevToolsEvent): void {
    if (method === 'Page.loadEventFired') this.#loads += 1;
    else if (method === 'Network.requestWillBeSent') this.requests.push((params as unknown as Asked).request.url);
    else if (COMPLAINTS.has(method)) this.complaints.push(JSON.stringify(params));
  }
}

interface Asked {
  readonly request: { readonly url: string };
}

const COMPLAINTS = new Set(['Log.entryAdded', 'Runtime.consoleAPICalled', 'Runtime.exceptionThrown']);
