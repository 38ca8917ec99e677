/**
 * Fixed memory between the decoder (which fills slots) and inference workers (which read them from other threads).
 *
 * R1 A slot is owned by exactly one side at a time: `acquire` takes it, `release` gives it back.
 * R2 No slot free means back-pressure: the decoder stops reading its pipe until `onFree` calls.
 */
export class FrameRing {
  readonly slotBytes: number;
  readonly slots: number;
  readonly buffer: SharedArrayBuffer;
  readonly #free: number[];
  #waiting: (() => void) | null = null;

  constructor(slots: number, slotBytes: number) {
    this.slots = slots;
    this.slotBytes = slotBytes;
    this.buffer = new SharedArrayBuffer(slots * slotBytes);
    this.#free = Array.from({ length: slots }, (_, i) => slots - 1 - i);
  }

  /** R1: a slot to fill, or null when all are in use. */
  acquire(): number | null {
    return this.#free.pop() ?? null;
  }

  /** R1: gives a slot back and wakes a decoder that waits for one. */
  release(slot: number): void {
    this.#free.push(slot);
    const wake = this.#waiting;
    this.#waiting = null;
    wake?.();
  }

  /** R2: calls `wake` once, at the next release. */
  onFree(wake: () => void): void {
    this.#waiting = wake;
  }

  /** The bytes of one slot. */
  view(slot: number): Uint8Array {
    return new Uint8Array(this.buffer, slot * this.slotBytes, this.slotBytes);
  }
}
