/**
 * Notices silence. Beats and progress never commit anything; only their absence does, as a `lost` signal.
 *
 * H1 The clock of a monitored thing starts when it is monitored, not at its first beat: death before it is noticed.
 * H2 Silence for `silenceMs`, or beats without progress for `stallMs`, is loss; reported once per key.
 * H3 A watcher that was itself late or cut off resets its clocks first: it has no right to judge. So before it judges it asks
 *    the server for an echo: a connection may be cut long before it is known to be, and then everybody is silent.
 * H4 What its keeper does not know (any more) is lost at once: asked when the monitoring begins, which after a restart of
 *    everything need not wait for silence. A keeper that cannot be asked has said nothing.
 * H5 What falls silent together with its keeper is lost with it: another cause than a silence of its own. Within a beat of
 *    each other both may be just about to be missed, so a silence waits that long for the keeper's.
 */
import type { Clock, Timer } from '../ports/clock.ts';
import type { ActorAddress } from '../ports/mailbox.ts';
import type { Monitor } from './behaviour.ts';

export interface Lost {
  readonly key: string;
  readonly cause: 'silent' | 'stalled' | 'gone' | 'node';
  readonly forMs: number;
}

export interface HeartbeatWatchPorts {
  readonly clock: Clock;
  /** Whether beats can be heard just now. */
  connected(): boolean;
  /** Resolves when the server has answered; what it had sent before has then arrived. */
  echo(): Promise<void>;
  lost(owner: ActorAddress, lost: Lost): void;
  /** Whether its keeper says that it has no such thing (H4). */
  isGone(monitor: Monitor): Promise<boolean>;
  /** Whether its keeper is still heard of (H5). */
  isKeeperAlive(monitor: Monitor): boolean;
}

interface Watched {
  readonly owner: ActorAddress;
  readonly monitor: Monitor;
  beatAt: number;
  progressAt: number;
  progress: number;
  reported: boolean;
}

/** Body of a monitor of this kind. */
export interface HeartbeatMonitor {
  readonly silenceMs: number;
  readonly stallMs: number;
}

export class HeartbeatWatch {
  readonly #ports: HeartbeatWatchPorts;
  readonly #tickMs: number;
  readonly #watched = new Map<string, Watched>();
  readonly #byOwner = new Map<string, readonly string[]>();
  readonly #signal: AbortSignal;
  #tickAt: number;
  #judging = false;

  /** @param tickMs at least half the interval between beats */
  constructor(ports: HeartbeatWatchPorts, tickMs: number, signal: AbortSignal) {
    const { clock } = ports;
    this.#ports = ports;
    this.#tickMs = tickMs;
    this.#signal = signal;
    this.#tickAt = clock.monotonic();
    let timer: Timer;
    const schedule = (): void => {
      timer = clock.timer(tickMs, () => {
        this.#tick();
        schedule();
      });
    };
    schedule();
    signal.addEventListener('abort', () => timer.cancel(), { once: true });
  }

  settle(owner: ActorAddress, monitors: readonly Monitor[]): void {
    const name = `${owner.kind}.${owner.id}`;
    const before = this.#byOwner.get(name) ?? [];
    if (before.length === 0 && monitors.length === 0) return;
    const keys = monitors.map(monitor => monitor.key);
    for (const key of before) if (!keys.includes(key)) this.#watched.delete(key);
    const now = this.#ports.clock.monotonic();
    for (const monitor of monitors) {
      if (this.#watched.has(monitor.key)) continue;
      // H1
      const watched = { owner, monitor, beatAt: now, progressAt: now, progress: -1, reported: false };
      this.#watched.set(monitor.key, watched);
      void this.#verify(owner, monitor);
    }
    if (keys.length === 0) this.#byOwner.delete(name);
    else this.#byOwner.set(name, keys);
  }

  /** @param progress any number that grows while there is progress */
  beat(key: string, progress: number): void {
    const watched = this.#watched.get(key);
    if (watched === undefined) return;
    watched.beatAt = this.#ports.clock.monotonic();
    if (progress === watched.progress) return;
    watched.progress = progress;
    watched.progressAt = watched.beatAt;
  }

  /** H4 */
  async #verify(owner: ActorAddress, monitor: Monitor): Promise<void> {
    const gone = await this.#ports.isGone(monitor).catch(() => false);
    const watched = this.#watched.get(monitor.key);
    if (!gone || watched === undefined || watched.reported) return;
    watched.reported = true;
    this.#ports.lost(owner, { key: monitor.key, cause: 'gone', forMs: 0 });
  }

  #tick(): void {
    const now = this.#ports.clock.monotonic();
    const late = now - this.#tickAt > this.#patienceMs;
    this.#tickAt = now;
    if (late || !this.#ports.connected())
      this.#restartClocks(); // H3
    else if (!this.#judging && this.#missed().length > 0) void this.#judge();
  }

  #restartClocks(): void {
    const now = this.#ports.clock.monotonic();
    for (const watched of this.#watched.values()) {
      watched.beatAt = now;
      watched.progressAt = now;
    }
  }

  /** H3 */
  async #judge(): Promise<void> {
    this.#judging = true;
    const heard = await this.#hearsEcho();
    this.#judging = false;
    if (!heard) {
      this.#restartClocks();
      return;
    }
    for (const [watched, lost] of this.#missed()) {
      watched.reported = true;
      this.#ports.lost(watched.owner, lost);
    }
  }

  async #hearsEcho(): Promise<boolean> {
    const { clock, echo } = this.#ports;
    const over = new AbortController();
    const late = clock.sleep(this.#patienceMs, AbortSignal.any([over.signal, this.#signal])).then(
      () => false,
      () => false,
    );
    const heard = echo().then(
      () => true,
      () => false,
    );
    return Promise.race([heard, late]).finally(() => over.abort(new Error('judged')));
  }

  /** How late a tick or an echo may be. */
  get #patienceMs(): number {
    return 2 * this.#tickMs + 50;
  }

  #missed(): readonly (readonly [Watched, Lost])[] {
    const now = this.#ports.clock.monotonic();
    return [...this.#watched].flatMap(([key, watched]) => {
      const lost = watched.reported ? null : this.#lossOf(key, watched, now);
      return lost === null ? [] : [[watched, lost] as const];
    });
  }

  /** H2, H5 */
  #lossOf(key: string, { monitor, beatAt, progressAt }: Watched, now: number): Lost | null {
    const { silenceMs, stallMs } = monitor.body as HeartbeatMonitor;
    const silentMs = now - beatAt;
    const stalledMs = now - progressAt;
    if (silentMs > silenceMs) {
      if (!this.#ports.isKeeperAlive(monitor)) return { key, cause: 'node', forMs: silentMs };
      return silentMs > silenceMs + 2 * this.#tickMs ? { key, cause: 'silent', forMs: silentMs } : null;
    }
    return stalledMs > stallMs ? { key, cause: 'stalled', forMs: stalledMs } : null;
  }
}
