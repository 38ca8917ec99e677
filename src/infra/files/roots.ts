/**
 * Which files may be read: those below the roots.
 *
 * S1 What counts is the real path, every symbolic link resolved, held against the real path of a root.
 * S2 Of what lies outside the roots not even the existence is told.
 */
import { realpath } from 'node:fs/promises';
import path from 'node:path';

export interface Place {
  /** Real path of the file, or of the nearest folder that exists. */
  readonly real: string;
  readonly exists: boolean;
}

/** @returns null when it lies outside every root, whether it exists or not */
export async function placeBelow(wanted: string, roots: readonly string[]): Promise<Place | null> {
  const place = await realPathOfNearest(path.resolve(wanted));
  return (await isBelow(place.real, roots)) ? place : null;
}

/** S2: a missing file is judged by the real path of the nearest folder that exists. */
async function realPathOfNearest(wanted: string): Promise<Place> {
  for (let at = wanted; ; at = path.dirname(at)) {
    try {
      return { real: await realpath(at), exists: at === wanted };
    } catch (error) {
      if (at === path.dirname(at)) throw error;
    }
  }
}

async function isBelow(real: string, roots: readonly string[]): Promise<boolean> {
  for (const root of roots) {
    const { real: realRoot, exists } = await realPathOfNearest(path.resolve(root));
    const relative = path.relative(realRoot, real);
    if (exists && relative !== '..' && !relative.startsWith(`..${path.sep}`) && !path.isAbsolute(relative)) return true;
  }
  return false;
}
