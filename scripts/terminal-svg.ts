/**
 * What a terminal showed, as an animated picture of text: SVG with CSS keyframes.
 *
 * TS1 It is text that can be selected, well-formed, and nothing else: no script, no link, nothing loaded, no escape sequence.
 * TS2 A row that stays is written once, however many frames show it.
 * TS3 Where animation is unwanted (prefers-reduced-motion, a viewer without CSS animation), the last screen stands still.
 */
import xterm from '@xterm/headless';

/** What a program wrote, and when. */
export interface Output {
  readonly atMs: number;
  readonly text: string;
}

/** Of one look; colours are an index into the terminal's sixteen, or null for the terminal's own. */
interface Run {
  readonly text: string;
  readonly colour: number | null;
  readonly bold: boolean;
  readonly dim: boolean;
}

type Row = readonly Run[];

interface Shown {
  readonly row: number;
  readonly runs: Row;
  readonly fromMs: number;
  untilMs: number | null;
}

export interface Screen {
  readonly columns: number;
  readonly rows: number;
}

/** The last screen stays this long before it begins anew. */
const STAY_MS = 5_000;
const CELL = { width: 8.43, height: 19 };
const MARGIN = { x: 18, top: 44, bottom: 16 };
const INK = { paper: '#0d1117', edge: '#30363d', text: '#e6edf3' };
const PALETTE = [
  ...['#484f58', '#ff7b72', '#3fb950', '#d29922', '#58a6ff', '#bc8cff', '#39c5cf', '#b1bac4'],
  ...['#6e7681', '#ffa198', '#56d364', '#e3b341', '#79c0ff', '#d2a8ff', '#56d4dd', '#ffffff'],
];

/** @param outputs in order of time */
export async function terminalSvg(outputs: readonly Output[], screen: Screen, title: string): Promise<string> {
  const terminal = new xterm.Terminal({ cols: screen.columns, rows: screen.rows, allowProposedApi: true });
  const shown: Shown[] = [];
  for (const { atMs, text } of outputs) {
    await new Promise<void>(resolve => terminal.write(text, resolve));
    for (let row = 0; row < screen.rows; row++) {
      const runs = rowOf(terminal, row);
      const before = shown.findLast(line => line.row === row && line.untilMs === null);
      if (JSON.stringify(runs) === JSON.stringify(before?.runs ?? [])) continue; // TS2
      if (before !== undefined) before.untilMs = atMs;
      if (runs.length > 0) shown.push({ row, runs, fromMs: atMs, untilMs: null });
    }
  }
  terminal.dispose();
  return draw(
    shown.filter(({ fromMs, untilMs }) => fromMs !== untilMs),
    (outputs.at(-1)?.atMs ?? 0) + STAY_MS,
    screen,
    title,
  );
}

function rowOf(terminal: xterm.Terminal, row: number): Row {
  const { active } = terminal.buffer;
  const line = active.getLine(active.baseY + row);
  const runs: Run[] = [];
  const length = line?.translateToString(true).length ?? 0;
  for (let column = 0; column < length; column++) {
    const cell = line?.getCell(column);
    if (cell === undefined || cell.getWidth() === 0) continue;
    const look = {
      colour: cell.isFgPalette() ? cell.getFgColor() : null,
      bold: cell.isBold() !== 0,
      dim: cell.isDim() !== 0,
    };
    const text = cell.getChars() || ' ';
    const last = runs.at(-1);
    if (last !== undefined && last.colour === look.colour && last.bold === look.bold && last.dim === look.dim)
      runs[runs.length - 1] = { ...last, text: last.text + text };
    else runs.push({ text, ...look });
  }
  return runs;
}

function draw(shown: readonly Shown[], totalMs: number, screen: Screen, title: string): string {
  const rows = Math.max(...shown.map(({ row }) => row)) + 1;
  const width = Math.ceil(screen.columns * CELL.width + 2 * MARGIN.x);
  const height = Math.ceil(rows * CELL.height + MARGIN.top + MARGIN.bottom);
  const animations = new Map<string, string>();
  const texts = shown.map(line => {
    const frames = keyframes(line, totalMs);
    const name = animations.get(frames) ?? `k${animations.size}`;
    animations.set(frames, name);
    const classes = `${name}${line.untilMs === null ? '' : ' gone'}`;
    return `<text class="${classes}" y="${line.row * CELL.height}">${line.runs.map((run, i) => span(run, startOf(line.runs, i))).join('')}</text>`;
  });
  const rules = [...animations].map(
    ([frames, name]) => `@keyframes ${name}{${frames}}.${name}{animation-name:${name}}`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escaped(title)}">`,
    '<style>',
    `text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:${INK.text};white-space:pre}`,
    '.gone{visibility:hidden}.b{font-weight:bold}.d{opacity:.6}', // TS3
    ...PALETTE.map((colour, i) => `.c${i}{fill:${colour}}`),
    '@media (prefers-reduced-motion:no-preference){',
    `text{animation:${totalMs}ms step-end infinite}`,
    ...rules,
    '}',
    '</style>',
    `<rect x=".5" y=".5" width="${width - 1}" height="${height - 1}" rx="8" fill="${INK.paper}" stroke="${INK.edge}"/>`,
    ...['#ff5f57', '#febc2e', '#28c840'].map((fill, i) => `<circle cx="${20 + 20 * i}" cy="20" r="6" fill="${fill}"/>`),
    `<g transform="translate(${MARGIN.x} ${MARGIN.top + 8})">`,
    ...texts,
    '</g>',
    '</svg>',
    '',
  ].join('\n');
}

const startOf = (runs: Row, i: number): number => runs.slice(0, i).reduce((sum, { text }) => sum + text.length, 0);

/** Each at its column and of its width, whatever monospaced font there is. */
function span({ text, colour, bold, dim }: Run, column: number): string {
  const classes = [colour === null ? '' : `c${colour % PALETTE.length}`, bold ? 'b' : '', dim ? 'd' : ''].filter(
    Boolean,
  );
  const look = classes.length === 0 ? '' : ` class="${classes.join(' ')}"`;
  const length = (text.length * CELL.width).toFixed(1);
  return `<tspan${look} x="${(column * CELL.width).toFixed(1)}" textLength="${length}" lengthAdjust="spacingAndGlyphs">${escaped(text)}</tspan>`;
}

function keyframes({ fromMs, untilMs }: Shown, totalMs: number): string {
  const at = (ms: number): string => `${((100 * ms) / totalMs).toFixed(2)}%`;
  const end = untilMs === null ? '' : `${at(untilMs)}{visibility:hidden}`;
  const start = fromMs === 0 ? '' : '0%{visibility:hidden}';
  return `${start}${at(fromMs)}{visibility:visible}${end}`;
}

/** TS1 */
const escaped = (text: string): string =>
  text
    .replaceAll(/[\p{Cc}\p{Cf}]/gu, '')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
