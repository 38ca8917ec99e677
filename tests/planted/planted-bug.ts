/** What a planted bug is, and how it gets into a source. */
import { stripTypeScriptTypes } from 'node:module';

export interface PlantedBug {
  /** Kebab-case, unique. */
  readonly id: string;
  /** What Troupe promises, and would not keep with this bug. */
  readonly promise: string;
  /** The source, from the root. */
  readonly file: string;
  /** Its exact text, which must occur in it once: a refactoring that moves it has to look at this list. */
  readonly before: string;
  readonly after: string;
  /** The test that must fail, named before it was tried. */
  readonly caughtBy: {
    readonly file: string;
    readonly name: string;
    /** uvu's name of the suite, where a file runs one test body on several backends: only this one is run. */
    readonly suite?: string;
    /** The simulation's test: how many seeds must be enough. */
    readonly seeds?: number;
  };
}

/** The source with the bug. @throws when its text is not in there once */
export function plant(source: string, { id, file, before, after }: PlantedBug): string {
  const places = source.split(before).length - 1;
  if (places !== 1) throw new Error(`${id}: its text is in ${file} ${places} times, not once`);
  return source.replace(before, () => after);
}

/** Why the bug is none: it changes nothing that runs, or leaves what is no TypeScript; null when it is one. @throws as `plant` */
export function flawOf(source: string, bug: PlantedBug): string | null {
  const planted = plant(source, bug);
  try {
    return code(planted) === code(source) ? 'it changes nothing that runs' : null;
  } catch (error) {
    return `with it the source is no TypeScript: ${(error as Error).message}`;
  }
}

/** The JavaScript that runs, its white space aside. */
const code = (source: string): string => stripTypeScriptTypes(source).replaceAll(/\s+/g, ' ');
