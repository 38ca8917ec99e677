/** How far a scenario is: a bar on a terminal, else a line every few seconds. Both on stderr. */
import { MultiBar, Presets, type SingleBar } from 'cli-progress';
import type { ScenarioView } from '../domain/scenario.ts';
import { plain } from './terminal.ts';

const LINE_EVERY_MS = 3_000;

export interface ProgressDisplay extends Disposable {
  /** @param beside what a bar has room for */
  show(scenario: ScenarioView, beside?: string): void;
  /** A line of its own beside the progress. */
  note(line: string): void;
}

export const progressDisplay = (): ProgressDisplay => (process.stderr.isTTY ? new Bar() : new Lines());

class Lines implements ProgressDisplay {
  #shownAt = performance.now();

  show(scenario: ScenarioView): void {
    if (performance.now() - this.#shownAt < LINE_EVERY_MS) return;
    this.#shownAt = performance.now();
    const { framesDone, framesTotal } = scenario.progress;
    this.note(
      `${scenario.id}: ${framesDone}${framesTotal === null ? '' : `/${framesTotal}`} frames, ${doing(scenario)}`,
    );
  }

  note(line: string): void {
    process.stderr.write(`${plain(line)}\n`);
  }

  [Symbol.dispose](): void {}
}

class Bar implements ProgressDisplay {
  readonly #bars = new MultiBar(
    { format: '{bar} {value}/{total} frames  {doing}', stream: process.stderr, hideCursor: true, barsize: 30 },
    Presets.shades_classic,
  );
  #bar: SingleBar | null = null;

  show(scenario: ScenarioView, beside = ''): void {
    const { framesDone, framesTotal } = scenario.progress;
    this.#bar ??= this.#bars.create(0, 0, { doing: '' });
    this.#bar.setTotal(Math.max(framesDone, framesTotal ?? 0));
    this.#bar.update(framesDone, { doing: plain(`${doing(scenario)}${beside === '' ? '' : `  ${beside}`}`) });
  }

  note(line: string): void {
    this.#bars.log(`${plain(line)}\n`);
  }

  constructor() {
    process.once('exit', this.#restore);
  }

  /** Whatever ends the process: the cursor is to be seen again. */
  readonly #restore = (): void => this.#bars.stop();

  [Symbol.dispose](): void {
    process.off('exit', this.#restore);
    this.#bars.stop();
  }
}

function doing({ state, outcome, reason, progress: { fps, etaMs } }: ScenarioView): string {
  if (state !== 'active')
    return outcome !== null && state === 'inactive' ? outcome : `${state}${reason === null ? '' : ` (${reason})`}`;
  const left = etaMs === null ? '' : `, ${Math.ceil(etaMs / 1000)} s left`;
  return fps === null ? 'active' : `${Math.round(fps)} fps${left}`;
}
