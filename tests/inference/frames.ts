/** Frames as the ring holds them: planes G, B, R. */

export interface Rectangle {
  readonly color: 'red' | 'green' | 'blue';
  readonly x: number;
  readonly y: number;
  readonly side: number;
}

const PLANE = { green: 0, blue: 1, red: 2 } as const;

/** Squares of pure colour on the grey of the letterbox. */
export function paint(size: number, ...rectangles: readonly Rectangle[]): Uint8Array {
  const frame = new Uint8Array(3 * size * size).fill(0x72);
  for (const { color, x, y, side } of rectangles) {
    for (let plane = 0; plane < 3; plane++) {
      for (let row = y; row < y + side; row++) {
        const start = plane * size * size + row * size + x;
        frame.fill(plane === PLANE[color] ? 255 : 0, start, start + side);
      }
    }
  }
  return frame;
}

/** Circles, squares and upright triangles of about the sizes that `shapes` was trained on, deterministic by seed. */
export function drawShapes(size: number, seed: number): Uint8Array {
  const frame = new Uint8Array(3 * size * size).fill(0x72);
  let state = seed;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  for (let i = 0; i < 6; i++) {
    const [kind, r, cx, cy] = [random(3), 9 + random(15), 30 + random(size - 60), 30 + random(size - 60)];
    const color = [random(256), random(256), random(256)];
    for (let y = cy - r; y < cy + r; y++) {
      for (let x = cx - r; x < cx + r; x++) {
        const [dx, dy] = [x - cx, y - cy];
        const inside = [dx * dx + dy * dy < r * r, true, dy > 2 * Math.abs(dx) - r][kind];
        for (let p = 0; inside === true && p < 3; p++) frame[p * size * size + y * size + x] = color[p] ?? 0;
      }
    }
  }
  return frame;
}
