/**
 * What a command writes to a terminal.
 *
 * T1 No control, format or line-separating character of a name reaches the terminal: such a character could move the
 *    cursor, hide text or run a terminal's own commands.
 * T2 Colour only on a terminal that wants it (NO_COLOR, `styleText`'s own check).
 * T3 A live view is no wider than the terminal: a line that wraps would be two to the cursor.
 */
import { stripVTControlCharacters, styleText } from 'node:util';
import type { TreeNode } from '../domain/tree.ts';

const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** T1 */
export const plain = (text: string): string => text.replaceAll(UNSAFE, '');

/** T1: JSON that shows unsafe characters as escapes; the line breaks are the document's own layout. */
export const json = (value: unknown): string => JSON.stringify(value, null, 2).replaceAll(UNSAFE, escaped);

/** The same on one line. */
export const jsonLine = (value: unknown): string => JSON.stringify(value).replaceAll(UNSAFE, escaped);

const escaped = (unsafe: string): string =>
  unsafe === '\n'
    ? unsafe
    : Array.from({ length: unsafe.length }, (_, i) => `\\u${unsafe.charCodeAt(i).toString(16).padStart(4, '0')}`).join(
        '',
      );

export type Cell = string | number | null;

/** Columns as wide as their widest cell, two blanks between. */
export function table(headings: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const cells = rows.map(row => row.map(cell => plain(cell === null ? '-' : String(cell))));
  const widths = headings.map((heading, i) => Math.max(heading.length, ...cells.map(row => row[i]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd();
  return [bold(line(headings)), ...cells.map(line)].join('\n');
}

/** T2 */
const bold = (text: string): string => styleText('bold', text, { stream: process.stdout });

/** The supervision tree, a line an actor. */
export function drawTree(root: TreeNode): string {
  const below = (nodes: readonly TreeNode[], indent: string): string[] =>
    nodes.flatMap((node, i) => {
      const last = i === nodes.length - 1;
      return [
        `${indent}${last ? '└─ ' : '├─ '}${describe(node)}`,
        ...below(node.children, `${indent}${last ? '   ' : '│  '}`),
      ];
    });
  return [describe(root), ...below(root.children, '')].join('\n');
}

/** The same by path, a line an actor. */
export function treeLines(root: TreeNode, above = ''): Map<string, string> {
  const path = above === '' ? root.id : `${above} > ${root.id}`;
  const below = root.children.flatMap(child => [...treeLines(child, path)]);
  return new Map([[path, `${above === '' ? '' : `${plain(above)} > `}${describe(root)}`], ...below]);
}

const describe = ({ id, state, strategy, pid, attempt, restarts }: TreeNode): string =>
  plain(
    [
      id,
      state,
      ...(strategy === undefined ? [] : [strategy]),
      ...(pid === null ? [] : [`pid ${pid}`]),
      ...(attempt === undefined ? [] : [`attempt ${attempt}`]),
      ...(restarts === 0 ? [] : [`restarts ${restarts}`]),
    ].join('  '),
  );

/** T3: what fits. Escape codes round the line take no room. */
export function cut(line: string, columns: number): string {
  const seen = stripVTControlCharacters(line);
  return seen.length <= columns ? line : line.replace(seen, () => `${seen.slice(0, columns - 1)}…`);
}

/** T3: characters that take two columns are cut by the terminal itself. */
export const unwrapped = (text: string): string => `\u001b[?7l${text}\u001b[?7h`;
/** The same in the midst of text that is not to wrap. */
export const wrapped = (text: string): string => `\u001b[?7h${text}\u001b[?7l`;

/** For a POSIX shell. */
export const quoted = (text: string): string =>
  /^[\w./:,@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
