/**
 * How a displayed picture lies in a model's input: scaled to fit, centred, the rest padded. The decoder applies this
 * geometry and inference undoes it, so there is one formula and neither relies on ffmpeg's rounding.
 *
 * LB1 The scaled picture lies inside the input, touches two opposite edges of it, and is at least 1 × 1.
 * LB2 A point (x, y) of the picture is (left + x · scaleX, top + y · scaleY) in the input, exactly.
 */

export interface PixelSize {
  readonly width: number;
  readonly height: number;
}

export interface Letterbox extends PixelSize {
  /** Input pixels per picture pixel; the two differ by the rounding of `width` and `height` to whole pixels. */
  readonly scaleX: number;
  readonly scaleY: number;
  /** Offset of the scaled picture in the input, whole pixels. */
  readonly left: number;
  readonly top: number;
}

/**
 * @param picture as displayed: rotation and pixel aspect applied; at least 1 × 1
 * @param input the model's input; at least 1 × 1
 */
export function letterbox(picture: PixelSize, input: PixelSize): Letterbox {
  const touchesSides = input.width * picture.height <= input.height * picture.width;
  const width = touchesSides ? input.width : scaled(picture.width, input.height, picture.height);
  const height = touchesSides ? scaled(picture.height, input.width, picture.width) : input.height;
  return {
    width,
    height,
    scaleX: width / picture.width,
    scaleY: height / picture.height,
    left: Math.floor((input.width - width) / 2),
    top: Math.floor((input.height - height) / 2),
  };
}

/** Multiplies before dividing: lengths that divide evenly come out exact. */
const scaled = (length: number, to: number, from: number): number => Math.max(1, Math.round((length * to) / from));
