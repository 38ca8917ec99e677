/**
 * How good predictions are against a known truth.
 *
 * E1 Per frame and class, predictions take objects greedily by falling score, each the free object of highest IoU, at
 *    least `iouAtLeast`. A match is a true positive, another prediction a false one, an object left over a miss.
 * E2 An object of which less than half is inside the picture is nobody's duty: it is never missed, and a prediction
 *    that lies at least by half in its box counts neither for nor against, whatever its class.
 * E3 A frame without predictions misses all its objects; a prediction for a frame without truth is not judged.
 */
import type { Prediction } from './prediction.ts';

export interface TruthObject {
  readonly class: string;
  /** x, y, width, height in displayed pixels, clipped to the picture. */
  readonly box: readonly number[];
  /** Part of the object's whole box that is inside the picture, 0..1; 1 when absent. */
  readonly visible?: number;
}

export interface TruthFrame {
  readonly frame: number;
  readonly objects: readonly TruthObject[];
}

export interface Score {
  /** Objects to find, and those found. */
  readonly objects: number;
  readonly found: number;
  readonly falseAlarms: number;
  /** 1 when nothing was predicted or nothing was to be found. */
  readonly precision: number;
  readonly recall: number;
}

export interface Evaluation extends Score {
  readonly perClass: Readonly<Record<string, Score>>;
}

const HALF = 0.5;

export function evaluate(
  predictions: Iterable<Prediction>,
  truth: readonly TruthFrame[],
  iouAtLeast = 0.5,
): Evaluation {
  const byFrame = new Map([...predictions].map(p => [p.frame, 'detections' in p ? p.detections : []]));
  const tallies = new Map<string, Tally>();
  const tally = (name: string): Tally => {
    const known = tallies.get(name) ?? { objects: 0, found: 0, falseAlarms: 0 };
    tallies.set(name, known);
    return known;
  };
  for (const { frame, objects } of truth) {
    const free = objects.filter(object => (object.visible ?? 1) >= HALF);
    const ignored = objects.filter(object => (object.visible ?? 1) < HALF);
    for (const object of free) tally(object.class).objects += 1;
    for (const detection of (byFrame.get(frame) ?? []).toSorted((a, b) => b.score - a.score)) {
      const best = free
        .filter(object => object.class === detection.class)
        .map(object => ({ object, iou: intersectionOverUnion(object.box, detection.box) }))
        .reduce<{ object: TruthObject; iou: number } | null>((a, b) => (a === null || b.iou > a.iou ? b : a), null);
      if (best !== null && best.iou >= iouAtLeast) {
        tally(detection.class).found += 1;
        free.splice(free.indexOf(best.object), 1);
      } else if (!ignored.some(object => overlap(object.box, detection.box) >= HALF * area(detection.box))) {
        tally(detection.class).falseAlarms += 1;
      }
    }
  }
  const all = [...tallies.values()].reduce<Tally>(
    (sum, t) => ({
      objects: sum.objects + t.objects,
      found: sum.found + t.found,
      falseAlarms: sum.falseAlarms + t.falseAlarms,
    }),
    { objects: 0, found: 0, falseAlarms: 0 },
  );
  const names = [...tallies.keys()].toSorted();
  return { ...score(all), perClass: Object.fromEntries(names.map(name => [name, score(tally(name))])) };
}

interface Tally {
  objects: number;
  found: number;
  falseAlarms: number;
}

function score({ objects, found, falseAlarms }: Tally): Score {
  const predicted = found + falseAlarms;
  return {
    objects,
    found,
    falseAlarms,
    precision: predicted === 0 ? 1 : found / predicted,
    recall: objects === 0 ? 1 : found / objects,
  };
}

const area = ([, , width = 0, height = 0]: readonly number[]): number => width * height;

function overlap(a: readonly number[], b: readonly number[]): number {
  const [ax = 0, ay = 0, aw = 0, ah = 0] = a;
  const [bx = 0, by = 0, bw = 0, bh = 0] = b;
  const width = Math.min(ax + aw, bx + bw) - Math.max(ax, bx);
  const height = Math.min(ay + ah, by + bh) - Math.max(ay, by);
  return Math.max(0, width) * Math.max(0, height);
}

function intersectionOverUnion(a: readonly number[], b: readonly number[]): number {
  const both = overlap(a, b);
  return both === 0 ? 0 : both / (area(a) + area(b) - both);
}
