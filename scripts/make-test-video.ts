/**
 * Draws a video with known truth: shapes that move over textured backgrounds, in scenes of about six seconds.
 *
 *     scripts/make-test-video.ts --seed 1 --out test_videos/test_video.mp4 [--codec h264|mpeg4|vp9] [--seconds 24] [--fps 25]
 *
 * Beside the video it writes `<out>.truth.jsonl`, one line a frame (`TruthFrame` of src/domain/evaluation.ts). The same
 * arguments and the same ffmpeg give the same bytes.
 *
 * Shapes, contrast and noise lie in the range that the model `shapes` was trained for: radii of 7 to 26 px at its input
 * of 320 px, which are 14 to 52 px here. In each scene one shape crosses the picture from edge to edge and the others
 * bounce off the edges and off each other.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import type { TruthFrame, TruthObject } from '../src/domain/evaluation.ts';
import { round2, round4 } from '../src/domain/prediction.ts';
import { findProgram } from '../src/infra/process/find-program.ts';

const WIDTH = 640;
const HEIGHT = 360;
const SCENE_SECONDS = 6;
const CLASSES = ['circle', 'square', 'triangle'] as const;

const ENCODERS: Readonly<Record<string, readonly string[]>> = {
  h264: ['-c:v', 'libx264', '-preset', 'slow', '-crf', '23', '-bf', '2', '-g', '50', '-threads', '1'],
  mpeg4: ['-c:v', 'mpeg4', '-q:v', '4', '-bf', '2', '-g', '50', '-threads', '1'],
  vp9: ['-c:v', 'libvpx-vp9', '-crf', '34', '-b:v', '0', '-g', '50', '-cpu-used', '3', '-threads', '1'],
};

type Colour = readonly [number, number, number];

interface Shape {
  readonly kind: (typeof CLASSES)[number];
  readonly radius: number;
  readonly colour: Colour;
  /** Crosses the picture and leaves it, instead of bouncing. */
  readonly passes: boolean;
  x: number;
  y: number;
  /** Pixels per second. */
  vx: number;
  vy: number;
}

/** Mulberry32: a small generator with a 32-bit state, uniform in [0, 1). */
function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

class Scene {
  readonly #random: () => number;
  readonly #base: Colour;
  readonly #background: Buffer;
  readonly #shapes: Shape[] = [];

  constructor(random: () => number) {
    this.#random = random;
    this.#base = this.#colour(40, 215);
    this.#background = this.#paintBackground();
    this.#addShape(true);
    for (let others = Math.floor(this.#between(1, 4)); others > 0; others--) this.#addShape(false);
  }

  #between(low: number, high: number): number {
    return low + (high - low) * this.#random();
  }

  #colour(low: number, high: number): Colour {
    return [this.#between(low, high), this.#between(low, high), this.#between(low, high)];
  }

  /** A colour gradient, one or two bars of a related colour, and grain that stands still (moving grain costs bits and shows nothing more). */
  #paintBackground(): Buffer {
    const pixels = Buffer.alloc(WIDTH * HEIGHT * 3);
    const slopeX = this.#colour(-0.2, 0.2);
    const slopeY = this.#colour(-0.2, 0.2);
    const bars = Array.from({ length: Math.floor(this.#between(1, 3)) }, () => {
      const angle = this.#between(0, Math.PI);
      return {
        cos: Math.cos(angle),
        sin: Math.sin(angle),
        offset: this.#between(-150, 150),
        half: this.#between(2, 9),
        colour: this.#base.map(value => value + this.#between(-70, 70)),
      };
    });
    for (let y = 0; y < HEIGHT; y++) {
      for (let x = 0; x < WIDTH; x++) {
        const [dx, dy] = [x - WIDTH / 2, y - HEIGHT / 2];
        const bar = bars.findLast(b => Math.abs(dx * b.cos + dy * b.sin - b.offset) < b.half);
        const grain = this.#between(-5, 5);
        for (const c of [0, 1, 2] as const) {
          const plain = this.#base[c] + slopeX[c] * dx + slopeY[c] * dy;
          pixels[(y * WIDTH + x) * 3 + c] = toByte((bar?.colour[c] ?? plain) + grain);
        }
      }
    }
    return pixels;
  }

  #addShape(passes: boolean): void {
    for (let tries = 0; tries < 100; tries++) {
      const radius = this.#between(20, 44);
      const shape: Shape = {
        kind: CLASSES[Math.floor(this.#random() * CLASSES.length)] ?? 'circle',
        radius,
        colour: this.#contrasting(),
        passes,
        x: passes ? -radius : this.#between(radius, WIDTH - radius),
        y: this.#between(radius, HEIGHT - radius),
        vx: passes ? (WIDTH + 2 * radius) / SCENE_SECONDS : this.#between(-90, 90),
        vy: passes ? 0 : this.#between(-60, 60),
      };
      if (this.#shapes.some(other => gap(shape, other) < 8)) continue;
      this.#shapes.push(shape);
      return;
    }
  }

  #contrasting(): Colour {
    for (;;) {
      const colour = this.#colour(0, 255);
      if (Math.max(...colour.map((value, c) => Math.abs(value - (this.#base[c] ?? 0)))) > 100) return colour;
    }
  }

  paint(): Buffer {
    const pixels = Buffer.from(this.#background);
    for (const shape of this.#shapes) {
      for (let y = Math.max(0, Math.floor(shape.y - shape.radius)); y < Math.min(HEIGHT, shape.y + shape.radius); y++) {
        for (
          let x = Math.max(0, Math.floor(shape.x - shape.radius));
          x < Math.min(WIDTH, shape.x + shape.radius);
          x++
        ) {
          if (!covers(shape, x, y)) continue;
          for (const c of [0, 1, 2] as const) pixels[(y * WIDTH + x) * 3 + c] = toByte(shape.colour[c]);
        }
      }
    }
    return pixels;
  }

  truth(): TruthObject[] {
    return this.#shapes.flatMap(({ kind, x, y, radius }) => {
      const [left, top] = [Math.max(0, x - radius), Math.max(0, y - radius)];
      const [width, height] = [Math.min(WIDTH, x + radius) - left, Math.min(HEIGHT, y + radius) - top];
      if (width <= 0 || height <= 0) return [];
      const visible = round4((width * height) / (4 * radius * radius));
      return [{ class: kind, box: [round2(left), round2(top), round2(width), round2(height)], visible }];
    });
  }

  move(seconds: number): void {
    for (const shape of this.#shapes) {
      if (!shape.passes) {
        if (shape.x < shape.radius) shape.vx = Math.abs(shape.vx);
        if (shape.x > WIDTH - shape.radius) shape.vx = -Math.abs(shape.vx);
        if (shape.y < shape.radius) shape.vy = Math.abs(shape.vy);
        if (shape.y > HEIGHT - shape.radius) shape.vy = -Math.abs(shape.vy);
        for (const other of this.#shapes) if (other !== shape && gap(shape, other) < 8) turnAway(shape, other);
      }
      shape.x += shape.vx * seconds;
      shape.y += shape.vy * seconds;
    }
  }
}

const toByte = (value: number): number => Math.max(0, Math.min(255, Math.round(value)));

function covers(shape: Shape, x: number, y: number): boolean {
  const [dx, dy] = [x + 0.5 - shape.x, y + 0.5 - shape.y];
  switch (shape.kind) {
    case 'circle':
      return dx * dx + dy * dy < shape.radius ** 2;
    case 'square':
      return Math.abs(dx) < shape.radius && Math.abs(dy) < shape.radius;
    case 'triangle':
      return dy < shape.radius && dy > 2 * Math.abs(dx) - shape.radius;
  }
}

/** Pixels between two bounding squares along the axis where they are farther apart; negative: they overlap. */
const gap = (a: Shape, b: Shape): number => Math.max(Math.abs(a.x - b.x), Math.abs(a.y - b.y)) - a.radius - b.radius;

/** Sends a shape away from another along the axis where the two are farther apart. */
function turnAway(shape: Shape, other: Shape): void {
  const [dx, dy] = [shape.x - other.x, shape.y - other.y];
  if (Math.abs(dx) > Math.abs(dy)) {
    shape.vx = Math.sign(dx) * Math.max(Math.abs(shape.vx), other.passes ? Math.abs(other.vx) : 0);
  } else shape.vy = Math.sign(dy) * Math.abs(shape.vy);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string' },
      out: { type: 'string' },
      codec: { type: 'string', default: 'h264' },
      seconds: { type: 'string', default: '24' },
      fps: { type: 'string', default: '25' },
      ffmpeg: { type: 'string' },
    },
  });
  const { out, seed } = values;
  const encoder = ENCODERS[values.codec];
  const [fps, seconds] = [Number(values.fps), Number(values.seconds)];
  if (out === undefined || seed === undefined || encoder === undefined || !(fps > 0) || !(seconds > 0)) {
    console.error(
      'usage: make-test-video --seed N --out FILE [--codec h264|mpeg4|vp9] [--seconds S] [--fps F] [--ffmpeg FILE]',
    );
    process.exit(2);
  }
  const ffmpeg = findProgram('ffmpeg', {
    given: values.ffmpeg,
    searchPath: undefined,
    own: path.join(import.meta.dirname, '../.troupe/bin'),
  });
  if (ffmpeg === null) throw new Error('no ffmpeg: run `npm run setup`, or name one with --ffmpeg');
  const encode = spawn(
    ffmpeg,
    [
      ...['-v', 'error', '-y', '-f', 'rawvideo', '-pix_fmt', 'rgb24', '-s', `${WIDTH}x${HEIGHT}`, '-r', String(fps)],
      ...['-i', 'pipe:0', ...encoder, '-pix_fmt', 'yuv420p', '-flags', '+bitexact', '-fflags', '+bitexact', out],
    ],
    { stdio: ['pipe', 'inherit', 'inherit'] },
  );
  const random = seeded(Number(seed));
  const truth: TruthFrame[] = [];
  let scene = new Scene(random);
  for (let frame = 0; frame < fps * seconds; frame++) {
    if (frame > 0 && frame % (fps * SCENE_SECONDS) === 0) scene = new Scene(random);
    truth.push({ frame, objects: scene.truth() });
    if (!encode.stdin.write(scene.paint())) await once(encode.stdin, 'drain');
    scene.move(1 / fps);
  }
  encode.stdin.end();
  const [code] = await once(encode, 'exit');
  if (code !== 0) throw new Error(`ffmpeg ended with ${String(code)}`);
  writeFileSync(`${out}.truth.jsonl`, `${truth.map(line => JSON.stringify(line)).join('\n')}\n`);
}

await main();
