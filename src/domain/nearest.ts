/** What somebody may have meant: of a few known words the one that is the fewest single-character changes away. */

/** null: none is near. */
export function nearest(word: string, known: readonly string[]): string | null {
  let best: { readonly word: string; readonly distance: number } | null = null;
  for (const one of known) {
    const far = distance(word, one);
    if (far <= Math.max(1, one.length * 0.4) && (best === null || far < best.distance))
      best = { word: one, distance: far };
  }
  return best?.word ?? null;
}

/** Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment), in two rows and the one before them. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const ways = [(row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (same ? 0 : 1)];
      next.push(Math.min(...ways, ...(swapped ? [(before[j - 2] ?? 0) + 1] : [])));
    }
    [before, row] = [row, next];
  }
  return row[b.length] ?? 0;
}
