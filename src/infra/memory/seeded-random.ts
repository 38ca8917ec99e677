/** Chance that a seed decides: equal seeds, equal runs. */
import type { Random } from '../../actors/ports/clock.ts';

const TOKEN_CHARACTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

/** splitmix32: a counter through a finaliser; passes for random in a simulation, and only there. */
export class SeededRandom implements Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  float(): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0;
    let z = this.#state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return ((z ^ (z >>> 15)) >>> 0) / 2 ** 32;
  }

  token(length: number): string {
    return Array.from({ length }, () => TOKEN_CHARACTERS[Math.floor(this.float() * TOKEN_CHARACTERS.length)]).join('');
  }
}
