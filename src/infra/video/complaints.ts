/** What a media tool writes on stderr, bounded: the first and the last lines, and how many lay between. */
import type { Readable } from 'node:stream';
import { LIMITS } from '../../domain/limits.ts';
import type { SourceInfo } from '../../domain/source.ts';

/** Half for the first lines, half for the last, one for the count of those between. */
const HEAD = LIMITS.complaintLines / 2;
const TAIL = LIMITS.complaintLines - HEAD - 1;

/** Said by libswscale of every full-range (JPEG) and of most other YUV pictures; nothing is wrong with them. */
const NOISE = ['deprecated pixel format used', 'No accelerated colorspace conversion found'];

export class Complaints {
  readonly #first: string[] = [];
  readonly #last: string[] = [];
  #between = 0;
  #partial = '';

  constructor(stderr: Readable) {
    stderr.setEncoding('utf8');
    stderr.on('data', (text: string) => {
      const lines = (this.#partial + text).split('\n');
      this.#partial = (lines.pop() ?? '').slice(0, LIMITS.complaintChars);
      for (const line of lines) this.#add(line);
    });
    stderr.on('end', () => this.#add(this.#partial));
  }

  /** At most `LIMITS.complaintLines` lines. */
  lines(): string[] {
    const gap = this.#between === 0 ? [] : [`… ${this.#between} more lines …`];
    return [...this.#first, ...gap, ...this.#last];
  }

  /** Nothing was complained of so far. */
  get none(): boolean {
    return this.#first.length === 0 && this.#partial === '';
  }

  /** The last line, which is where ffmpeg says why it gave up; empty when it said nothing. */
  last(): string {
    return this.#last.at(-1) ?? this.#first.at(-1) ?? '';
  }

  #add(raw: string): void {
    // Addresses differ from run to run and would make equal results unequal.
    const line = raw
      .replaceAll(/ @ 0x[0-9a-f]+/g, '')
      .trim()
      .slice(0, LIMITS.complaintChars);
    if (line === '' || NOISE.some(noise => line.includes(noise))) return;
    if (this.#first.length < HEAD) this.#first.push(line);
    else if (this.#last.push(line) > TAIL) {
      this.#last.shift();
      this.#between += 1;
    }
  }
}

/**
 * What is told of a video that was decoded to its end: the complaints, led by what they mean when pictures are missing. A
 * container's own count of frames lies often, so without a complaint a smaller one says nothing.
 */
export function endWarnings(complaints: Complaints, frames: number, { framesEstimate }: SourceInfo): string[] {
  const lines = complaints.lines();
  if (lines.length === 0 || framesEstimate === null || frames >= framesEstimate) return lines;
  return [
    `The video is cut or damaged: ${frames} of about ${framesEstimate} frames could be decoded, and have results. Copy it anew for the rest.`,
    ...lines,
  ];
}
