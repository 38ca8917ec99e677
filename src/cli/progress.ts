/** How far a scenario is: a bar on a terminal, else a line every few seconds. Both on stderr. */
import { type GenericFormatter, MultiBar, type SingleBar } from 'cli-progress';
import type { ScenarioView } from '../domain/scenario.ts';
import { cut, plain, wrapped } from './terminal.ts';

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

const BAR_COLUMNS = 30;

/** T3: on a narrow terminal the bar leaves room for the numbers. */
const fitting: GenericFormatter = (_, { progress, value, total }, payload: { readonly doing: string }) => {
  const { columns } = process.stderr;
  const width = Math.min(BAR_COLUMNS, columns >> 2);
  const bar = '█'.repeat(Math.round(progress * width)).padEnd(width, '░');
  return cut(`${bar} ${value}/${total} frames  ${payload.doing}`, columns);
};

class Bar implements ProgressDisplay {
  readonly #bars = new MultiBar({
    format: fitting,
    stream: process.stderr,
    hideCursor: true,
    // Not by signals of its own: a node that is being stopped has more to say.
    gracefulExit: false,
  });
  /** null: none is drawn yet, or none any more. */
  #bar: SingleBar | null = null;

  show(scenario: ScenarioView, beside = ''): void {
    const { framesDone, framesTotal } = scenario.progress;
    this.#bar ??= this.#bars.create(0, 0, { doing: '' });
    this.#bar.setTotal(Math.max(framesDone, framesTotal ?? 0));
    this.#bar.update(framesDone, { doing: plain(`${doing(scenario)}${beside === '' ? '' : `  ${beside}`}`) });
  }

  note(line: string): void {
    const text = `${plain(line)}\n`;
    if (this.#bar === null) process.stderr.write(text);
    else this.#bars.log(wrapped(text));
  }

  constructor() {
    process.on('exit', this.#end);
  }

  /** Whatever ends the process: the notes are to be read, and the cursor is to be seen again. */
  readonly #end = (): void => {
    if (this.#bar === null) return;
    this.#bar = null;
    this.#bars.update();
    this.#bars.stop();
  };

  [Symbol.dispose](): void {
    process.off('exit', this.#end);
    this.#end();
  }
}

function doing({ state, outcome, reason, progress: { fps, etaMs } }: ScenarioView): string {
  if (state !== 'active')
    return outcome !== null && state === 'inactive' ? outcome : `${state}${reason === null ? '' : ` (${reason})`}`;
  const left = etaMs === null ? '' : `, ${Math.ceil(etaMs / 1000)} s left`;
  return fps === null ? 'active' : `${Math.round(fps)} fps${left}`;
}
