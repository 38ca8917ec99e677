/**
 * What happened, line by line, in the order in which it did; and a hash of it: equal runs have equal ones.
 */
interface Line {
  readonly atMs: number;
  readonly who: string;
  readonly what: string;
}

export class Trace {
  readonly #lines: Line[] = [];
  #hash = 0x811c9dc5;

  note(atMs: number, who: string, what: string): void {
    this.#lines.push({ atMs, who, what });
    let hash = Math.imul(this.#hash ^ Math.floor(atMs * 1000), 0x01000193);
    for (let i = 0; i < what.length; i++) hash = Math.imul(hash ^ what.charCodeAt(i), 0x01000193);
    for (let i = 0; i < who.length; i++) hash = Math.imul(hash ^ who.charCodeAt(i), 0x01000193);
    this.#hash = hash;
  }

  get hash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, '0');
  }

  /** Seconds of virtual time, who, what. */
  *text(): Iterable<string> {
    const width = this.#lines.reduce((most, { who }) => Math.max(most, who.length), 0);
    for (const { atMs, who, what } of this.#lines)
      yield `${(atMs / 1000).toFixed(3).padStart(9)}  ${who.padEnd(width)}  ${what}`;
  }
}
