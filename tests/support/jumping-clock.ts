/** Virtual time whose wall clock somebody sets, as an administrator or NTP does; monotonic time goes on as ever. */
import { VirtualClock } from '../../src/infra/memory/virtual-clock.ts';

export class JumpingClock extends VirtualClock {
  #jumpedMs = 0;

  jump(byMs: number): void {
    this.#jumpedMs += byMs;
  }

  override now(): number {
    return super.now() + this.#jumpedMs;
  }
}
