/** A subject on which requests are answered, and how that went so far: what service discovery tells of it. */
import type { Clock } from '../ports/clock.ts';

export interface EndpointOptions {
  /** Of A-Z a-z 0-9 _ -. */
  readonly name: string;
  readonly subject: string;
  /** '' when every instance answers. */
  readonly queue: string;
  readonly description: string;
}

export class Endpoint {
  readonly options: EndpointOptions;
  readonly #clock: Clock;
  #requests = 0;
  #errors = 0;
  #lastError = '';
  #busyMs = 0;

  constructor(options: EndpointOptions, clock: Clock) {
    this.options = options;
    this.#clock = clock;
  }

  /** Runs the work of one request and counts it. @throws what the work throws */
  async count<T>(work: () => Promise<T> | T): Promise<T> {
    const began = this.#clock.monotonic();
    try {
      return await work();
    } catch (error) {
      this.#errors += 1;
      this.#lastError = (error as Error).message;
      throw error;
    } finally {
      this.#requests += 1;
      this.#busyMs += this.#clock.monotonic() - began;
    }
  }

  get tally(): { requests: number; errors: number; lastError: string; busyMs: number } {
    return { requests: this.#requests, errors: this.#errors, lastError: this.#lastError, busyMs: this.#busyMs };
  }
}
