/**
 * A node's word that it lives, whatever its roles: what `/nodes`, placement and the noticing of lost nodes are made of.
 *
 * NP1 It beats every interval from its first moment on, and at once when something changed that others wait for.
 */
import { toJson } from '../../domain/json.ts';
import type { NodeView } from '../../domain/node.ts';
import { SUBJECTS } from '../../domain/subjects.ts';
import type { Bus } from '../ports/bus.ts';
import type { Clock, Timer } from '../ports/clock.ts';

export interface PresencePorts {
  readonly bus: Bus;
  readonly clock: Clock;
}

export class Presence {
  readonly #ports: PresencePorts;
  readonly #heartbeatMs: number;
  readonly #view: () => NodeView;
  #timer: Timer | null = null;

  /** @param view what the node is now */
  constructor(ports: PresencePorts, heartbeatMs: number, view: () => NodeView) {
    this.#ports = ports;
    this.#heartbeatMs = heartbeatMs;
    this.#view = view;
    this.#beat();
  }

  /** NP1 */
  announce(): void {
    const view = this.#view();
    this.#ports.bus.publish(SUBJECTS.heartbeat(view.id, 'node', view.id), toJson(view));
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #beat(): void {
    this.announce();
    this.#timer = this.#ports.clock.timer(this.#heartbeatMs, () => this.#beat());
  }
}
