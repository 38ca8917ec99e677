/**
 * The page at /docs in a headless Chromium, read and pressed as a person does: for its test and its pictures.
 *
 * SP1 The browser leaves nothing behind: its profile, its HOME and its processes end with it.
 * SP2 Only as root, which Chromium refuses to sandbox, is there no sandbox; it opens nothing but a node of ours.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Browser, type BrowserContextOptions, chromium, type Locator, type Page } from 'playwright-core';
import { asset } from '../src/infra/process/assets.ts';

/** What scripts/browser.mjs exits with where no browser can be had. */
const UNAVAILABLE = 69;
/** For one step of a page; only a page that hangs takes as long. */
const STEP_MS = 60_000;
const SIZE = { width: 1100, height: 900 };

/** @returns where a Chromium is, or why there can be none here. @throws when the one that was brought does not start */
export function findBrowser(deadlineMs?: number): Promise<{ file: string } | { none: string }> {
  return new Promise((resolve, reject) => {
    const options = { ...(deadlineMs === undefined ? {} : { timeout: deadlineMs }) };
    execFile(process.execPath, [asset('scripts', 'browser.mjs')], options, (error, stdout, stderr) => {
      if (error === null) resolve({ file: stdout.trim() });
      else if (error.code === UNAVAILABLE) resolve({ none: stderr.trim() });
      else if (error.killed) resolve({ none: `no browser was brought within ${deadlineMs} ms` });
      else reject(new Error(stderr));
    });
  });
}

export class HeadlessBrowser implements AsyncDisposable {
  readonly #browser: Browser;
  readonly #home: string;

  private constructor(browser: Browser, home: string) {
    this.#browser = browser;
    this.#home = home;
  }

  /** @param found where it finds a host or a host with a port, such as `['troupe.test', '127.0.0.1']` */
  static async start(file: string, found?: readonly [address: string, at: string]): Promise<HeadlessBrowser> {
    const home = mkdtempSync(path.join(tmpdir(), 'troupe-browser-'));
    const browser = await chromium.launch({
      executablePath: file,
      chromiumSandbox: process.getuid?.() !== 0, // SP2
      env: { HOME: home, PATH: process.env['PATH'] },
      args: found === undefined ? [] : [`--host-resolver-rules=MAP ${found.join(' ')}`],
      timeout: STEP_MS,
    });
    return new HeadlessBrowser(browser, home);
  }

  /** @param password for the browser's own dialog, when the node wants a token */
  async openDocs(url: string, password?: string): Promise<SwaggerPage> {
    const options: BrowserContextOptions = { viewport: SIZE, locale: 'en-GB', timezoneId: 'UTC', colorScheme: 'light' };
    const credentials = password === undefined ? {} : { httpCredentials: { username: '', password } };
    const context = await this.#browser.newContext({ ...options, ...credentials });
    context.setDefaultTimeout(STEP_MS);
    return SwaggerPage.open(await context.newPage(), url);
  }

  /** SP1 */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#browser.close();
    rmSync(this.#home, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }
}

export interface ShownAnswer {
  readonly status: number;
  readonly body: string;
}

export class SwaggerPage {
  /** What the browser complained of: errors on the console, scripts that threw, loads that failed or were forbidden. */
  readonly complaints: string[] = [];
  readonly page: Page;

  private constructor(page: Page) {
    this.page = page;
  }

  static async open(page: Page, url: string): Promise<SwaggerPage> {
    const opened = new SwaggerPage(page);
    page.on('console', message => {
      if (message.type() === 'error' || message.type() === 'warning') opened.complaints.push(message.text());
    });
    page.on('pageerror', error => opened.complaints.push(String(error)));
    page.on('requestfailed', request => opened.complaints.push(`${request.url()}: ${request.failure()?.errorText}`));
    await page.goto(url);
    await page.locator('.opblock').first().waitFor();
    return opened;
  }

  /** As a person reads them: `POST /api/v1/scenarios`. */
  async operations(): Promise<string[]> {
    const lines = await this.page.locator('.opblock-summary').allInnerTexts();
    return lines.map(line => {
      const [method = '', route = ''] = line.replaceAll('\u200b', '').split(/\s+/);
      return `${method} ${route}`;
    });
  }

  async unfold(operationId: string): Promise<Locator> {
    const operation = this.page.locator(`[id$="-${operationId}"].opblock`);
    if (!(await operation.locator('.opblock-body').isVisible())) await operation.locator('.opblock-summary').click();
    await operation.locator('.execute').waitFor();
    return operation;
  }

  /** Presses Execute, with what is filled in unless told otherwise. */
  async execute(
    operationId: string,
    given: { readonly body?: string; readonly [parameter: string]: string | undefined } = {},
  ): Promise<ShownAnswer> {
    const operation = await this.unfold(operationId);
    const { body, ...parameters } = given;
    if (body !== undefined) await operation.locator('textarea.body-param__text').fill(body);
    for (const [name, value] of Object.entries(parameters)) {
      await operation.locator(`tr[data-param-name="${name}"] input`).fill(value ?? '');
    }
    const answered = this.page.waitForResponse(response => response.url().includes('/api/'));
    await operation.locator('.execute').click();
    await answered;
    const answer = operation.locator('.live-responses-table tr.response');
    await answer.waitFor();
    await operation.locator('.loading-container').waitFor({ state: 'detached' });
    return {
      status: Number.parseInt(await answer.locator('.response-col_status').innerText(), 10),
      body: await answer.locator('.highlight-code code').first().innerText(),
    };
  }

  /** The page from its top, as far as the window shows it. */
  async picture(file: string): Promise<void> {
    await this.page.screenshot({ path: file, animations: 'disabled', caret: 'hide' });
  }

  /** From an operation's head down to the body of its answer: what follows differs from time to time. */
  async pictureOf(operationId: string, file: string): Promise<void> {
    const operation = await this.unfold(operationId);
    await this.page.setViewportSize({ width: SIZE.width, height: 4 * SIZE.height });
    await operation.evaluate(element => element.scrollIntoView());
    const answer = operation.locator('.live-responses-table .highlight-code').first();
    const [from, to] = [await operation.boundingBox(), await answer.boundingBox()];
    if (from === null || to === null) throw new Error(`${operationId} is not to be seen`);
    const clip = { ...from, height: to.y + to.height + 8 - from.y };
    await this.page.screenshot({ path: file, clip, animations: 'disabled', caret: 'hide' });
    await this.page.setViewportSize(SIZE);
  }

  async authorize(token: string): Promise<void> {
    await this.page.locator('.auth-wrapper .authorize').click();
    const dialog = this.page.locator('.dialog-ux');
    await dialog.locator('input').fill(token);
    await dialog.locator('button.authorize').click();
    await dialog.locator('button.btn-done').click();
  }
}
