/**
 * Whatever message an actor was given is carried out in one commit and in no second one; every message that was stored is behind its
 * actor's cursor in the end; one that nobody could carry out is refused, by one refusal; every other command has the effect that its
 * scenario's document asks for, or is refused, where it asks for that; and a sender's answer is true: what was answered as done is
 * committed before. Of an actor that never existed nothing is kept: its refusals may come once from each owner.
 */
import { isComplete, type ScenarioDoc } from '../../../src/domain/scenario-doc.ts';
import { STREAMS } from '../../../src/domain/subjects.ts';
import { type Commit, type Evidence, type Letter, scenarioCommits } from '../history.ts';

export function commandsOnce({ history, ending }: Evidence): readonly string[] {
  const found: string[] = [];
  const commits = history.commits();
  /** Of each message the commits that say that they come of it, by the number of what they sent. */
  const carriedOut = new Map<string, Set<number>>();
  const refusals = new Map<string, Set<string>>();
  const forgotten = new Set<string>();
  for (const { kind, id, record } of commits) {
    if (record === null) forgotten.add(`${kind}.${id}`);
    for (const { number, headers, body, subject } of record?.outbox ?? []) {
      const cause = headers?.['Troupe-Causation-Id'] ?? textOf(body['causationId']);
      // What names no message is a timer's or the runtime's own; every message has another id.
      if (!/^(mailbox\.|request\.)/.test(cause)) continue;
      const key = `${cause} at ${kind}.${id}`;
      const isRefusal = subject?.startsWith('troupe.rejected.') === true;
      const revisions = carriedOut.get(key) ?? new Set();
      if (!isRefusal) carriedOut.set(key, revisions.add(number[0]));
      if (isRefusal) {
        const ids = refusals.get(cause) ?? new Set();
        ids.add(textOf(body['id']));
        refusals.set(cause, ids);
      }
    }
  }
  for (const [key, revisions] of carriedOut)
    if (revisions.size > 1) found.push(`${key} was carried out by ${revisions.size} commits: ${[...revisions].join()}`);
  for (const { body } of history.facts(STREAMS.rejected)) {
    const cause = textOf(body['causationId'] ?? body['id']);
    refusals.set(cause, (refusals.get(cause) ?? new Set()).add(textOf(body['id'])));
  }

  const letters = history.letters();
  const cursors = new Map<string, number>();
  for (const { kind, id, record } of commits)
    if (record !== null) cursors.set(`${kind}.${id}`, Math.max(cursors.get(`${kind}.${id}`) ?? 0, record.cursor));
  for (const letter of letters) {
    const { kind, id, seq } = letter;
    const cause = letter.headers['Troupe-Id'] ?? `mailbox.${seq}`;
    if (ending.converged && kind === 'scenario' && seq > (cursors.get(`${kind}.${id}`) ?? 0))
      found.push(`${kind}.${id}: message ${seq} (${letter.verb}) was never looked at`);
    const times = refusals.get(cause)?.size ?? 0;
    if (times > 1 && !forgotten.has(`${kind}.${id}`))
      found.push(`${kind}.${id}: message ${seq} (${letter.verb}) was refused ${times} times`);
    if (ending.converged && times === 0 && isImpossible(letter))
      found.push(`${kind}.${id}: message ${seq} (${letter.verb} ${letter.text}) was neither carried out nor refused`);
  }
  const steps = stepsOf(commits);
  for (const letter of letters) {
    if (letter.kind !== 'scenario' || letter.class !== 'cmd' || isImpossible(letter)) continue;
    const step = stepWith(steps, letter);
    if (step === null) continue;
    const hadEffect = isCarriedOut(letter, step, refusals.has(idOf(letter)));
    if (!hadEffect)
      found.push(
        `${letter.id}: message ${letter.seq} (${letter.verb} ${letter.text}) finds it ${stateOf(step.before)} and leaves it ${stateOf(step.after)}`,
      );
  }
  return [...found, ...lies(history)];
}

/** A commit of a scenario with what was there before. */
interface Step {
  readonly commit: Commit;
  readonly before: ScenarioDoc | null;
  readonly after: ScenarioDoc | null;
}

function stepsOf(commits: readonly Commit[]): ReadonlyMap<string, readonly Step[]> {
  const steps = new Map<string, Step[]>();
  for (const { doc, ...commit } of scenarioCommits(commits)) {
    const before = steps.get(commit.id) ?? [];
    before.push({ commit, before: before.at(-1)?.after ?? null, after: doc });
    steps.set(commit.id, before);
  }
  return steps;
}

/** The step that carried its cursor over this message. */
const stepWith = (steps: ReadonlyMap<string, readonly Step[]>, { id, index, seq }: Letter): Step | null =>
  steps.get(id)?.find(({ commit }) => commit.index > index && (commit.record?.cursor ?? 0) >= seq) ?? null;

const idOf = ({ headers, seq }: Letter): string => headers['Troupe-Id'] ?? `mailbox.${seq}`;
const isEnding = ({ state }: ScenarioDoc): boolean => state === 'init_shutdown' || state === 'in_shutdown_processing';
const stateOf = (doc: ScenarioDoc | null): string =>
  doc === null ? 'not there' : `${doc.state}${doc.deleting === null ? '' : ', being deleted'}`;

/** Whether the step is what the contract says of this command for the document as it was. */
function isCarriedOut({ verb, text, headers }: Letter, { before, after }: Step, refused: boolean): boolean {
  const body = JSON.parse(text.trim() === '' ? '{}' : text) as Readonly<Record<string, unknown>>;
  const isRequest = 'source' in body;
  if (before === null) return verb === 'create' || (verb === 'start' && isRequest) ? after !== null : refused;
  if (before.deleting !== null) return refused;
  const rests = before.state === 'inactive';
  switch (verb) {
    case 'create':
      return refused || headers['Troupe-Idempotency-Key'] !== undefined;
    case 'stop':
      return !refused && (rests || (after !== null && (isEnding(after) || after.state === 'inactive')));
    case 'delete':
      return rests ? after === null || after.deleting !== null : refused;
    default: {
      const afresh = body['from'] === 'start';
      if (isEnding(before) || (afresh && !rests)) return refused;
      const nothingToDo = !rests || (!afresh && isComplete(before.segments));
      return !refused && (nothingToDo || (after !== null && after.state !== 'inactive'));
    }
  }
}

/** Answers that tell of what was not done by then; also of what a restored store has lost since. */
function lies(history: Evidence['history']): readonly string[] {
  const found: string[] = [];
  const letters = new Map(history.letters(history.all).map(letter => [idOf(letter), letter]));
  const steps = stepsOf(history.commits(history.all));
  for (const answer of history.all) {
    if (answer.kind !== 'answered' || !answer.changed) continue;
    const letter = letters.get(`request.${answer.request}`);
    const step = letter === undefined ? null : stepWith(steps, letter);
    const isDone = step !== null && step.commit.index < answer.index;
    const isGone = (gone: Step): boolean => gone.after === null && gone.commit.index > (step?.commit.index ?? 0);
    const wasGone = steps.get(letter?.id ?? '')?.some(other => isGone(other) && other.commit.index < answer.index);
    if (!isDone || (letter?.verb === 'delete' && wasGone !== true))
      found.push(`${answer.request} (${letter?.verb} ${letter?.id}) is answered as done before it is`);
  }
  return found;
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');

const PUBLIC: ReadonlySet<string> = new Set(['create', 'start', 'stop', 'delete']);

/** A command that nobody can carry out, whatever state its scenario is in. */
function isImpossible({ kind, class: cls, verb, text }: Letter): boolean {
  if (cls !== 'cmd') return false;
  return kind !== 'scenario' || !PUBLIC.has(verb) || text.includes('rubbish') || text === '{"v":1';
}
