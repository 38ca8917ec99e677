/**
 * What Troupe's results are held against: the plain loop that a user would write, one frame after the other, in one
 * process. Slow and obvious on purpose, and it shares no code with src/: geometry, decoding of outputs, NMS, rounding
 * and the form of a line are written down here a second time, so that a mistake in one shows in the other.
 *
 * What the two agree on, as docs/ says it: the filter chain (same pixels), the pts of the frames as the demuxer has them
 * in microseconds, one class per anchor, NMS per class on unrounded boxes with "intersection > iou · union".
 */
import { spawn } from 'node:child_process';
import path from 'node:path';
import * as ort from 'onnxruntime-node';

const COCO = `person bicycle car motorcycle airplane bus train truck boat traffic_light fire_hydrant stop_sign
  parking_meter bench bird cat dog horse sheep cow elephant bear zebra giraffe backpack umbrella handbag tie suitcase
  frisbee skis snowboard sports_ball kite baseball_bat baseball_glove skateboard surfboard tennis_racket bottle
  wine_glass cup fork knife spoon bowl banana apple sandwich orange broccoli carrot hot_dog pizza donut cake chair couch
  potted_plant bed dining_table toilet tv laptop mouse remote keyboard cell_phone microwave oven toaster sink
  refrigerator book clock vase scissors teddy_bear hair_drier toothbrush`;

/** The models it knows, by file name. */
const MODELS: Record<string, { family: 'yolov8' | 'yolox'; classes: string[] }> = {
  'shapes.onnx': { family: 'yolov8', classes: ['circle', 'square', 'triangle'] },
  'colorblob.onnx': { family: 'yolov8', classes: ['red', 'green', 'blue'] },
  'yolox_nano.onnx': { family: 'yolox', classes: COCO.split(/\s+/).map(name => name.replaceAll('_', ' ')) },
};

export interface ReferenceOptions {
  /** Path of the ffmpeg executable. */
  readonly ffmpeg: string;
  readonly video: string;
  /** Path of shapes.onnx, colorblob.onnx or yolox_nano.onnx. */
  readonly model: string;
  readonly threshold: number;
  readonly iou: number;
}

interface Size {
  width: number;
  height: number;
}

/** The lines of a JSONL export of the whole video at `threshold`, without newlines. */
export async function referenceLines(options: ReferenceOptions): Promise<string[]> {
  const model = await loadReferenceModel(options.model);
  const picture = await displayedSize(options.ffmpeg, options.video);
  const fit = fitInto(picture, model.input);
  const { width, height } = model.input;
  const chain =
    `scale=${fit.width}:${fit.height}:flags=bilinear,format=gbrp,` +
    `pad=${width}:${height}:${fit.left}:${fit.top}:color=0x727272`;
  const detections: string[] = [];
  let bytes = Buffer.alloc(0);
  const log = await runFfmpeg(
    options.ffmpeg,
    [
      '-copyts',
      '-threads',
      '1',
      '-i',
      options.video,
      '-map',
      '0:V:0',
      '-vf',
      `showinfo,${chain}`,
      '-fps_mode',
      'passthrough',
    ],
    async chunk => {
      bytes = Buffer.concat([bytes, chunk]);
      for (; bytes.length >= 3 * width * height; bytes = bytes.subarray(3 * width * height)) {
        const found = await model.detect(bytes.subarray(0, 3 * width * height), picture, options);
        detections.push(JSON.stringify(found));
      }
    },
  );
  const times = timesIn(log);
  if (times.length !== detections.length) throw new Error(`${times.length} times, ${detections.length} frames`);
  return detections.map((list, frame) => `{"frame":${frame},"ptsMs":${times[frame]},"detections":${list}}`);
}

/** Runs ffmpeg with raw planar G, B, R on stdout. @returns its log */
async function runFfmpeg(ffmpeg: string, args: string[], onPixels: (chunk: Buffer) => Promise<void>): Promise<string> {
  const output = ['-an', '-f', 'rawvideo', '-pix_fmt', 'gbrp', 'pipe:1'];
  const child = spawn(ffmpeg, ['-nostdin', '-hide_banner', '-nostats', '-v', 'info', ...args, ...output]);
  let log = '';
  child.stderr.setEncoding('utf8').on('data', text => {
    log += text;
  });
  const closed = new Promise<number | null>(resolve => child.on('close', resolve));
  for await (const chunk of child.stdout) await onPixels(chunk);
  if ((await closed) !== 0) throw new Error(`ffmpeg failed:\n${log.slice(-2000)}`);
  return log;
}

/** Milliseconds of each frame from `showinfo`'s lines: ticks of its time base, first rounded to microseconds. */
function timesIn(log: string): (number | null)[] {
  const [, numerator, denominator] = log.match(/config in time_base: (\d+)\/(\d+)/) ?? [];
  return [...log.matchAll(/\] n: *\d+ pts: *(\S+) /g)].map(([, ticks]) => {
    if (ticks === 'NOPTS') return null;
    const microseconds = Math.round((Number(ticks) * Number(numerator) * 1e6) / Number(denominator));
    return microseconds / 1000;
  });
}

/** Size of the picture as a player shows it: ffmpeg's filters see it upright; its pixels are made square here. */
async function displayedSize(ffmpeg: string, video: string): Promise<Size> {
  const args = ['-i', video, '-map', '0:V:0', '-vf', 'showinfo', '-frames:v', '1'];
  const log = await runFfmpeg(ffmpeg, args, async () => {});
  const [, a, b, w, h] = (log.match(/ sar:(\d+)\/(\d+) s:(\d+)x(\d+) /) ?? []).map(Number);
  if (a === undefined || b === undefined || w === undefined || h === undefined) throw new Error('no picture size');
  const turned = /displaymatrix: rotation of -?90/.test(log);
  if (a === 0 || b === 0 || a === b) return { width: w, height: h };
  // The aspect belongs to the stored picture; showinfo gives the upright one's.
  return turned ? { width: w, height: Math.round((h * b) / a) } : { width: Math.round((w * a) / b), height: h };
}

/** The picture scaled to fit and centred, whole pixels. */
function fitInto(picture: Size, input: Size): Size & { left: number; top: number } {
  let { width, height } = input;
  if (input.width / picture.width <= input.height / picture.height) {
    height = Math.max(1, Math.round((picture.height * input.width) / picture.width));
  } else {
    width = Math.max(1, Math.round((picture.width * input.height) / picture.height));
  }
  return { width, height, left: Math.floor((input.width - width) / 2), top: Math.floor((input.height - height) / 2) };
}

interface Box {
  classId: number;
  score: number;
  x1: number;
  y1: number;
  x2: number;
  y2: number;
}

export interface ReferenceDetection {
  class: string;
  classId: number;
  score: number;
  box: [number, number, number, number];
}

export interface ReferenceModel {
  input: Size;
  /** @param frame planes G, B, R of the model's input size, letterboxed */
  detect(frame: Uint8Array, picture: Size, options: { threshold: number; iou: number }): Promise<ReferenceDetection[]>;
}

export async function loadReferenceModel(file: string): Promise<ReferenceModel> {
  const known = MODELS[path.basename(file)];
  if (known === undefined) throw new Error(`the reference does not know ${file}`);
  const session = await ort.InferenceSession.create(file, { intraOpNumThreads: 1, logSeverityLevel: 3 });
  const metadata = session.inputMetadata[0];
  if (metadata?.isTensor !== true) throw new Error('no tensor input');
  const [, , height, width] = metadata.shape.map(Number);
  if (width === undefined || height === undefined) throw new Error('no input size');
  const input = { width, height };
  const toTensor = (frame: Uint8Array): ort.Tensor => {
    const plane = width * height;
    const [g, b, r] = [frame.subarray(0, plane), frame.subarray(plane, 2 * plane), frame.subarray(2 * plane)];
    const pixels = metadata.type === 'uint8' ? new Uint8Array(3 * plane) : new Float32Array(3 * plane);
    const order = known.family === 'yolov8' ? [r, g, b] : [b, g, r];
    order.forEach((channel, i) => pixels.set(channel, i * plane));
    return new ort.Tensor(pixels, [1, 3, height, width]);
  };
  return {
    input,
    async detect(frame, picture, { threshold, iou }) {
      const results = await session.run({ [metadata.name]: toTensor(frame) });
      const output = results[session.outputNames[0] ?? ''];
      if (output === undefined) throw new Error('no output');
      const values = Array.from(output.data as Float32Array);
      const boxes =
        known.family === 'yolov8' ? yolov8(values, known.classes.length) : yolox(values, input, known.classes.length);
      const kept = suppress(
        boxes.filter(box => round(box.score, 4) >= threshold),
        iou,
      ).slice(0, 300);
      const found = kept.map(box => inPicture(box, picture, input, known.classes));
      return found.filter(d => d.box[2] > 0 && d.box[3] > 0).sort(inOrder);
    },
  };
}

/** [4 + classes][boxes]: cx, cy, w, h, scores. */
function yolov8(values: number[], classCount: number): Box[] {
  const n = values.length / (4 + classCount);
  const at = (row: number, i: number): number => values[row * n + i] ?? Number.NaN;
  return Array.from({ length: n }, (_, i) => {
    const scores = Array.from({ length: classCount }, (_, c) => at(4 + c, i));
    return boxOf(scores, 1, at(0, i), at(1, i), at(2, i), at(3, i));
  });
}

/** [cells][x, y, w, h, objectness, scores], strides 8, 16, 32. */
function yolox(values: number[], input: Size, classCount: number): Box[] {
  const boxes: Box[] = [];
  for (const stride of [8, 16, 32]) {
    for (let row = 0; row < Math.floor(input.height / stride); row++) {
      for (let column = 0; column < Math.floor(input.width / stride); column++) {
        const start = boxes.length * (5 + classCount);
        const [x = 0, y = 0, w = 0, h = 0, objectness = 0] = values.slice(start, start + 5);
        const scores = values.slice(start + 5, start + 5 + classCount);
        const centre = [(x + column) * stride, (y + row) * stride] as const;
        boxes.push(boxOf(scores, objectness, ...centre, Math.exp(w) * stride, Math.exp(h) * stride));
      }
    }
  }
  return boxes;
}

function boxOf(scores: number[], objectness: number, cx: number, cy: number, w: number, h: number): Box {
  const best = Math.max(...scores);
  const corners = { x1: cx - w / 2, y1: cy - h / 2, x2: cx + w / 2, y2: cy + h / 2 };
  return { classId: scores.indexOf(best), score: objectness * best, ...corners };
}

/** Best first (the earlier one of equals); whatever overlaps a kept one of its class too much goes. */
function suppress(boxes: Box[], iou: number): Box[] {
  const kept: Box[] = [];
  for (const box of boxes.toSorted((a, b) => b.score - a.score)) {
    if (!kept.some(other => other.classId === box.classId && overlap(other, box, iou))) kept.push(box);
  }
  return kept;
}

function overlap(a: Box, b: Box, iou: number): boolean {
  const width = Math.min(a.x2, b.x2) - Math.max(a.x1, b.x1);
  const height = Math.min(a.y2, b.y2) - Math.max(a.y1, b.y1);
  if (width <= 0 || height <= 0) return false;
  const area = (box: Box): number => (box.x2 - box.x1) * (box.y2 - box.y1);
  return width * height > iou * (area(a) + area(b) - width * height);
}

/** Letterbox undone, corners clipped to the picture and rounded, size as the difference of the rounded corners. */
function inPicture(box: Box, picture: Size, input: Size, classes: string[]): ReferenceDetection {
  const fit = fitInto(picture, input);
  const clip = (x: number, size: number): number => round(Math.max(0, Math.min(x, size)), 2);
  const x = (at: number): number => clip((at - fit.left) / (fit.width / picture.width), picture.width);
  const y = (at: number): number => clip((at - fit.top) / (fit.height / picture.height), picture.height);
  const size = [round(x(box.x2) - x(box.x1), 2), round(y(box.y2) - y(box.y1), 2)] as const;
  return {
    class: classes[box.classId] ?? '?',
    classId: box.classId,
    score: round(box.score, 4),
    box: [x(box.x1), y(box.y1), ...size],
  };
}

function inOrder(a: ReferenceDetection, b: ReferenceDetection): number {
  const [ax, ay, aw, ah] = a.box;
  const [bx, by, bw, bh] = b.box;
  return b.score - a.score || a.classId - b.classId || ax - bx || ay - by || aw - bw || ah - bh;
}

const round = (x: number, digits: number): number => Math.round(x * 10 ** digits) / 10 ** digits;
