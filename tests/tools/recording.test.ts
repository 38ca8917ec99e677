/**
 * README's recording: the picture that is there, and what its maker makes of a terminal's output.
 *
 * TS1 It is text that can be selected, well-formed, and nothing else.
 * TS2 A row that stays is written once.
 * TS3 Where animation is unwanted, the last screen stands still.
 */
import { readFileSync, statSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Output, terminalSvg } from '../../scripts/terminal-svg.ts';
import { asset } from '../../src/infra/process/assets.ts';

const test = suite('recording');
const README = readFileSync(asset('README.md'), 'utf8');
const IMAGES = [...README.matchAll(/!\[([^\]]+)\]\((docs\/images\/[^)]+)\)/g)].map(([, , file = '']) => file);

const svgOf = (...outputs: Output[]): Promise<string> =>
  terminalSvg(outputs, { columns: 40, rows: 6 }, 'a "title" & more');

/** The elements in order, or what is wrong: a small reader, for what terminalSvg may write. */
function elements(svg: string): string[] {
  const open: string[] = [];
  const all: string[] = [];
  for (const [, text = '', tag = ''] of svg.matchAll(/([^<]*)(<[^>]*>)?/g)) {
    assert.match(text, /^([^&>]|&(amp|lt|gt|quot);)*$/, 'text');
    if (tag === '') continue;
    const [, closing, name = '', attributes = '', empty] =
      /^<(\/?)([a-z]+)((?: [\w:-]+="[^"<]*")*)(\/?)>$/i.exec(tag) ?? [];
    assert.ok(name !== '', `malformed: ${tag}`);
    assert.match(attributes, /^([^&]|&(amp|lt|gt|quot);)*$/, tag);
    if (closing) assert.is(open.pop(), name, tag);
    else all.push(name);
    if (!closing && !empty) open.push(name);
  }
  assert.equal(open, []);
  return all;
}

function assertPlain(svg: string): void {
  const allowed = ['svg', 'style', 'rect', 'circle', 'g', 'text', 'tspan'];
  assert.equal(
    [...new Set(elements(svg))].filter(name => !allowed.includes(name)),
    [],
  );
  assert.not.match(svg, /[^\P{Cc}\n]|\p{Cf}/u, 'a control character, or one that turns text around');
  assert.not.match(svg.replace('xmlns="http://www.w3.org/2000/svg"', ''), /url\(|@import|href|https?:|\son\w+=/);
  assert.not.match(svg, /(^|[^\w~.])\/(tmp|home|root|work|usr|var|Users)\b/m, 'a path of a machine');
}

/** What a viewer without animation shows, row by row. */
const still = (svg: string): string[] =>
  [...svg.matchAll(/<text class="k\d+" [^>]*>(.*?)<\/text>/g)].map(([, line = '']) => line.replaceAll(/<[^>]+>/g, ''));

test('TS1: the recording in README is plain text of a terminal, small, and shows its first commands and their results', () => {
  const file = asset('docs', 'images', 'first-run.svg');
  const svg = readFileSync(file, 'utf8');
  assertPlain(svg);
  assert.ok(statSync(file).size < 100_000);
  const lines = still(svg);
  const commands = lines.filter(line => /^\$ ./.test(line));
  assert.ok(commands.length >= 2);
  for (const command of commands) assert.ok(README.includes(`\n${command}\n`), command);
  assert.ok(
    lines.some(line => line.includes('600/600 frames')) && lines.some(line => line.startsWith('{&quot;frame&quot;:0')),
  );
});

test('every picture that README shows is there, and small', () => {
  assert.ok(IMAGES.length >= 3);
  for (const file of IMAGES) assert.ok(statSync(asset(file)).size < 150_000, file);
});

test('TS1: what a program prints cannot become markup, a link or an escape sequence', async () => {
  const hostile =
    '</text><script>alert("&amp;")</script>\x1b]8;;https://evil.example\x07link\x1b]8;;\x07 \u202eabc \x1b]0;title\x07\x1b[31mred\x1b[0m';
  const svg = await svgOf({ atMs: 0, text: hostile });
  assertPlain(svg);
  assert.match(svg, /&lt;\/text&gt;&lt;script&gt;/);
  assert.match(svg, /<tspan class="c1"[^>]*>red<\/tspan>/);
});

test('TS2, TS3: a bar that moves is one row in many frames, and the last of them is what stands still', async () => {
  const bar = [1, 2, 3].map(i => ({ atMs: 100 * i, text: `\r\x1b[2K${'#'.repeat(i)} ${i}/3` }));
  const svg = await svgOf({ atMs: 0, text: 'first\r\n' }, ...bar, { atMs: 400, text: '\r\ndone' });
  assert.is(elements(svg).filter(name => name === 'text').length, 5);
  assert.equal(still(svg), ['first', '### 3/3', 'done']);
  const [, hidden] = /<text class="(k\d+) gone"[^>]*>(?:<[^>]+>)*## 2\/3/.exec(svg) ?? [];
  assert.ok(
    svg.includes(`@keyframes ${hidden}{0%{visibility:hidden}3.70%{visibility:visible}5.56%{visibility:hidden}}`),
  );
});

test.run();
