/**
 * Notices silence. Beats and progress never commit anything; only their absence does, as a `lost` signal.
 *
 * H1 The clock of a monitored thing starts when it is monitored, not at its first beat: death before it is noticed.
 * H2 Silence for `silenceMs`, or beats without progress for `stallMs`, is loss; reported once per key.
 * H3 A watcher that was itself late or cut off resets its clocks first: it has no right to judge.
 * H4 What its keeper does not know (any more) is lost at once: asked when the monitoring begins, which after a restart of
 *    everything need not wait for silence. A keeper that cannot be asked has said nothing.
 */
import type { Clock, Timer } from '../ports/clock.ts';
import type { ActorAddress } from '../ports/mailbox.ts';
import type { Monitor } from './behaviour.ts';

export interface Lost {
  readonly key: string;
  readonly cause: 'silent' | 'stalled' | 'gone';
  readonly forMs: number;
}

interface Watched {
  readonly owner: ActorAddress;
  readonly silenceMs: number;
  readonly stallMs: number;
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
  readonly #clock: Clock;
  readonly #tickMs: number;
  readonly #connected: () => boolean;
  readonly #lost: (owner: ActorAddress, lost: Lost) => void;
  readonly #isGone: (monitor: Monitor) => Promise<boolean>;
  readonly #watched = new Map<string, Watched>();
  readonly #byOwner = new Map<string, readonly string[]>();
  #tickAt: number;
  #trusted = true;

  constructor(
    clock: Clock,
    tickMs: number,
    connected: () => boolean,
    lost: (owner: ActorAddress, lost: Lost) => void,
    isGone: (monitor: Monitor) => Promise<boolean>,
    signal: AbortSignal,
  ) {
    this.#clock = clock;
    this.#tickMs = tickMs;
    this.#connected = connected;
    this.#lost = lost;
    this.#isGone = isGone;
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
    const now = this.#clock.monotonic();
    for (const monitor of monitors) {
      if (this.#watched.has(monitor.key)) continue;
      const { silenceMs, stallMs } = monitor.body as HeartbeatMonitor;
      // H1
      this.#watched.set(monitor.key, {
        owner,
        silenceMs,
        stallMs,
        beatAt: now,
        progressAt: now,
        progress: -1,
        reported: false,
      });
      void this.#verify(owner, monitor);
    }
    if (keys.length === 0) this.#byOwner.delete(name);
    else this.#byOwner.set(name, keys);
  }

  /** @param progress any number that grows while there is progress */
  beat(key: string, progress: number): void {
    const watched = this.#watched.get(key);
    if (watched === undefined) return;
    watched.beatAt = this.#clock.monotonic();
    if (progress === watched.progress) return;
    watched.progress = progress;
    watched.progressAt = watched.beatAt;
  }

  /** H4 */
  async #verify(owner: ActorAddress, monitor: Monitor): Promise<void> {
    const gone = await this.#isGone(monitor).catch(() => false);
    const watched = this.#watched.get(monitor.key);
    if (!gone || watched === undefined || watched.reported) return;
    watched.reported = true;
    this.#lost(owner, { key: monitor.key, cause: 'gone', forMs: 0 });
  }

  #tick(): void {
    const now = this.#clock.monotonic();
    const late = now - this.#tickAt > 2 * this.#tickMs + 50;
    this.#tickAt = now;
    const connected = this.#connected();
    if (late || !connected || !this.#trusted) {
      // H3: also the first tick after a reconnection only starts the clocks again.
      this.#trusted = connected;
      for (const watched of this.#watched.values()) {
        watched.beatAt = now;
        watched.progressAt = now;
      }
      return;
    }
    for (const [key, watched] of this.#watched) {
      if (watched.reported) continue;
      const silentMs = now - watched.beatAt;
      const stalledMs = now - watched.progressAt;
      if (silentMs <= watched.silenceMs && stalledMs <= watched.stallMs) continue;
      watched.reported = true;
      const cause = silentMs > watched.silenceMs ? 'silent' : 'stalled';
      this.#lost(watched.owner, { key, cause, forMs: cause === 'silent' ? silentMs : stalledMs });
    }
  }
}
