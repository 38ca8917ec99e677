/**
 * Between the outside and the actors: sends public commands and waits for the answer that follows their commit; makes
 * views from committed state and the local projection.
 *
 * G2 A command that got no answer within `ANSWER_MS` may still be carried out: the caller is told so, and to ask again.
 * G3 An `inactive` scenario is shown only when the projection has its last record, or has had a second to get it.
 */

import { fromProblem, PERMANENT_CODES, type Problem, TroupeError } from '../../domain/errors.ts';
import { fromJson, toJson } from '../../domain/json.ts';
import { LIMITS } from '../../domain/limits.ts';
import { readRunnerBeat } from '../../domain/messages.ts';
import type { ModelInfo } from '../../domain/model.ts';
import { NodeView } from '../../domain/node.ts';
import { parse } from '../../domain/parse.ts';
import { countSelected } from '../../domain/sampling.ts';
import type { Progress, ScenarioSpec, ScenarioState, ScenarioView } from '../../domain/scenario.ts';
import { attemptKey, isComplete, lastSeqOf, type ScenarioDoc, scenarioView } from '../../domain/scenario-doc.ts';
import { HEADERS, SUBJECTS } from '../../domain/subjects.ts';
import { nextTraceparent } from '../../domain/traceparent.ts';
import type { TreeNode } from '../../domain/tree.ts';
import { type Bus, NoResponder, type Subscription } from '../ports/bus.ts';
import type { Clock, Random } from '../ports/clock.ts';
import type {
  ClusterGateway,
  CommandAnswer,
  CommandOptions,
  EventGateway,
  EventQuery,
  RunView,
  ScenarioEvent,
  ScenarioGateway,
  ScenarioVerb,
} from '../ports/gateway.ts';
import type { ModelCatalog } from '../ports/inference.ts';
import type { Mailbox, OutgoingMessage } from '../ports/mailbox.ts';
import type { NodeDirectory } from '../ports/node-directory.ts';
import type { PredictionReader } from '../ports/projection.ts';
import type { StateStore } from '../ports/state-store.ts';
import { MailboxFull, WriteRetry, WriteUnknown } from '../ports/write-outcome.ts';
import { decodeRecord } from '../runtime/record-codec.ts';
import { scenarioEvents } from './scenario-events.ts';
import { type ScenarioMirror, visible } from './scenario-mirror.ts';

export interface GatewayPorts {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly random: Random;
  /** A subject below which answers come to this process alone. */
  readonly inbox: string;
  readonly mailbox: Mailbox;
  readonly store: StateStore;
  readonly mirror: ScenarioMirror;
  readonly projection: PredictionReader;
  readonly directory: NodeDirectory;
  readonly models: ModelCatalog;
  /** Of any text, an id that no other text has. */
  digest(text: string): string;
  /** What keeps this node from serving, as sentences: what is known without asking anybody, and what stalls. */
  unready(): readonly string[];
  stalled(): Promise<readonly string[]>;
}

const ANSWER_MS = 5_000;
const PROBE_MS = LIMITS.trialWaitMs + LIMITS.probeMs + 1_000;
const TREE_MS = 1_000;
const CONTROL_MS = 5_000;
const SETTLE_MS = 1_000;

interface Answer {
  readonly revision: number;
  readonly scenario?: ScenarioDoc | null;
  readonly changed?: boolean;
  readonly problem?: Problem;
}

export class Gateway implements ScenarioGateway, ClusterGateway, EventGateway {
  readonly #ports: GatewayPorts;
  readonly #waiting = new Map<string, (answer: Answer) => void>();
  /** Frames per second of running attempts, by attempt key. Entries leave with the next beat sweep. */
  readonly #rates = new Map<string, { readonly fps: number; readonly at: number }>();
  readonly #subscriptions: readonly Subscription[];

  constructor(ports: GatewayPorts) {
    this.#ports = ports;
    this.#subscriptions = [
      ports.bus.subscribe(`${ports.inbox}.*`, message => {
        const token = message.subject.slice(message.subject.lastIndexOf('.') + 1);
        this.#waiting.get(token)?.(fromJson(message.body) as Answer);
      }),
      ports.bus.subscribe(SUBJECTS.heartbeats('runner'), message => this.#hear(message.body)),
    ];
  }

  close(): void {
    for (const subscription of this.#subscriptions) subscription.close();
  }

  async command(id: string, verb: ScenarioVerb, body: unknown, options: CommandOptions): Promise<CommandAnswer> {
    const { requestId, idempotencyKey: key } = options;
    const traceparent = nextTraceparent(options.traceparent, this.#ports.random);
    const about = { [HEADERS.requestId]: requestId, [HEADERS.traceparent]: traceparent };
    if (key !== undefined) {
      const to = { kind: 'idempotency', id: this.#ports.digest(key) };
      await this.#ask({ to, class: 'sys', verb: 'claim', body: { scenario: id, request: body } }, about);
    }
    const command = { to: { kind: 'scenario', id }, class: 'cmd' as const, verb, body };
    const headers = key === undefined ? about : { ...about, [HEADERS.idempotencyKey]: key };
    const answer = await this.#ask(command, headers);
    const scenario = answer.scenario ?? null;
    this.#ports.mirror.learn(id, scenario, answer.revision);
    return { scenario: scenario === null ? null : this.#view(scenario), changed: answer.changed ?? true };
  }

  /** G2. @throws TroupeError of the refusal */
  async #ask(
    { to, class: cls, verb, body }: Pick<OutgoingMessage, 'to' | 'class' | 'verb'> & { readonly body: unknown },
    headers: Readonly<Record<string, string>> & { readonly [HEADERS.requestId]: string },
  ): Promise<Answer> {
    const { bus, clock, random, inbox, mailbox } = this.#ports;
    const token = random.token(22);
    const answered = new Promise<Answer | null>(resolve => {
      const timer = clock.timer(ANSWER_MS, () => resolve(null));
      this.#waiting.set(token, answer => {
        timer.cancel();
        resolve(answer);
      });
    });
    try {
      // The inbox is known to the server before an answer can come.
      await bus.flush().catch(error => {
        throw unavailable(`the connection to NATS broke (${(error as Error).message}); the command was not sent`);
      });
      await mailbox.send({
        to,
        class: cls,
        verb,
        headers: {
          ...headers,
          [HEADERS.reply]: `${inbox}.${token}`,
          [HEADERS.id]: `request.${headers[HEADERS.requestId]}`,
        },
        body: toJson(body ?? {}),
      });
      const answer = await answered;
      if (answer === null)
        throw this.#unavailable(
          `no orchestrator answered within ${ANSWER_MS} ms; the command may still be carried out`,
        );
      if (answer.problem !== undefined) throw fromProblem(answer.problem);
      return answer;
    } catch (error) {
      if (error instanceof MailboxFull) {
        const message = `Too many '${verb}' commands wait for ${to.kind} '${to.id}'. Try again later.`;
        throw new TroupeError('mailbox_full', message, { retryable: true });
      }
      if (error instanceof WriteRetry || error instanceof WriteUnknown)
        throw this.#unavailable(`NATS did not store the command: ${error.message}`);
      throw error;
    } finally {
      this.#waiting.delete(token);
    }
  }

  async get(id: string): Promise<ScenarioView> {
    return this.#settledView(await this.#read(id));
  }

  async wait(id: string, waitMs: number, signal: AbortSignal): Promise<ScenarioView> {
    const { clock, mirror } = this.#ports;
    const deadline = clock.monotonic() + waitMs;
    for (;;) {
      const doc = await this.#read(id);
      const leftMs = deadline - clock.monotonic();
      if (doc.state === 'inactive' || leftMs <= 0 || signal.aborted) return this.#settledView(doc);
      // The watch tells of the next change; a second at most, so that a change between read and watch is not missed for long.
      await mirror.changed(id, Math.min(leftMs, 1_000), signal);
    }
  }

  async list(query: {
    state: ScenarioState | null;
    limit: number;
    after: string | null;
  }): Promise<readonly ScenarioView[]> {
    const { state, limit, after } = query;
    const found: ScenarioView[] = [];
    for (const doc of this.#ports.mirror.list()) {
      if (found.length === limit) break;
      if ((after === null || doc.id > after) && (state === null || doc.state === state)) found.push(this.#view(doc));
    }
    return found;
  }

  async run(id: string, run: number | null): Promise<RunView> {
    const doc = await this.#read(id);
    const { threshold } = doc.spec;
    if (run === null || run === doc.run) {
      const ended = doc.state === 'inactive';
      const complete = ended && isComplete(doc.segments);
      return { scenario: this.#view(doc), run: doc.run, threshold, ended, complete, lastSeq: lastSeqOf(doc.segments) };
    }
    const past = doc.pastRuns.find(other => other.run === run);
    if (past === undefined) {
      throw new TroupeError(
        'run_not_found',
        `Scenario '${id}' has no run ${run}; its latest is ${doc.run}, and without a run that one is meant.`,
      );
    }
    return { scenario: this.#view(doc), run, threshold, ended: true, complete: past.complete, lastSeq: past.lastSeq };
  }

  async nodes(): Promise<readonly NodeView[]> {
    return this.#ports.directory.alive();
  }

  async drain(node: string, draining: boolean): Promise<NodeView> {
    const { bus, directory } = this.#ports;
    try {
      const answer = await bus.request(SUBJECTS.control(node, 'drain'), toJson({ draining }), CONTROL_MS);
      return parse(NodeView, fromJson(answer.body), `The answer of node ${node}`);
    } catch (error) {
      if (error instanceof NoResponder && !directory.alive().some(other => other.id === node)) {
        throw new TroupeError(
          'node_not_found',
          `There is no live node '${node}'. GET /api/v1/nodes lists those there are.`,
        );
      }
      if (error instanceof TroupeError) throw error;
      throw unavailable(`node '${node}' does not answer`);
    }
  }

  async models(): Promise<readonly ModelInfo[]> {
    return this.#ports.models.list().map(model => model.info);
  }

  async tree(): Promise<TreeNode> {
    const { bus, directory } = this.#ports;
    const asked = directory.alive().map(async ({ id, pid }): Promise<TreeNode> => {
      try {
        const answer = await bus.request(SUBJECTS.control(id, 'tree'), Buffer.alloc(0), TREE_MS);
        return fromJson(answer.body) as TreeNode;
      } catch {
        // A node that lives but does not answer just now is shown as what it is.
        return {
          id: `node/${id}`,
          kind: 'node',
          type: 'supervisor',
          state: 'silent',
          node: id,
          pid,
          restarts: 0,
          children: [],
        };
      }
    });
    const children = await Promise.all(asked);
    return {
      id: 'troupe',
      kind: 'cluster',
      type: 'supervisor',
      state: 'running',
      node: null,
      pid: null,
      restarts: 0,
      children,
    };
  }

  /** What is still to come before this node can serve: known without asking anybody. */
  missing(): readonly string[] {
    const { bus, mirror } = this.#ports;
    return [
      ...(bus.connected ? [] : ['not connected to NATS']),
      ...(mirror.current ? [] : ['the scenarios are still being read']),
      ...this.#ports.unready(),
    ];
  }

  async notReady(): Promise<readonly string[]> {
    const missing = this.missing();
    return missing.length > 0 ? missing : this.#ports.stalled();
  }

  /** A cause that this node knows of stands before what it led to. */
  #unavailable(why: string): TroupeError {
    return unavailable([...this.#ports.unready(), why].join('; '));
  }

  async probe(spec: ScenarioSpec): Promise<void> {
    const { bus, directory } = this.#ports;
    const body = toJson(spec);
    let refusal: Problem | null = null;
    for (const { id, roles } of directory.alive()) {
      if (!roles.includes('runner')) continue;
      try {
        const { body: bytes } = await bus.request(SUBJECTS.control(id, 'probe'), body, PROBE_MS);
        const answer = fromJson(bytes) as { kind: string; problem?: Problem };
        if (answer.problem === undefined || !PERMANENT_CODES.has(answer.problem.code)) return;
        refusal ??= answer.problem;
      } catch (error) {
        // A node that cannot be asked just now says nothing about the source.
        if (!(error instanceof NoResponder) && (error as Error).name !== 'TimeoutError') throw error;
      }
    }
    if (refusal !== null) throw fromProblem(refusal);
  }

  async events(id: string, query: EventQuery, signal: AbortSignal): Promise<AsyncIterable<ScenarioEvent>> {
    const doc = await this.#read(id);
    if (query.run !== null) await this.run(id, query.run);
    return scenarioEvents({ ...this.#ports, view: shown => this.#view(shown) }, doc, query, signal);
  }

  async #read(id: string): Promise<ScenarioDoc> {
    let doc: ScenarioDoc | null;
    try {
      const entry = await this.#ports.store.get(`scenario.${id}`);
      doc = entry === null ? null : visible(decodeRecord(entry.value));
      if (entry !== null && doc !== null) this.#ports.mirror.learn(id, doc, entry.revision);
    } catch (error) {
      if (error instanceof WriteRetry || error instanceof WriteUnknown)
        throw this.#unavailable(`NATS does not answer: ${error.message}`);
      throw error;
    }
    if (doc !== null) return doc;
    throw new TroupeError(
      'scenario_not_found',
      `There is no scenario '${id}'. GET /api/v1/scenarios lists those there are.`,
    );
  }

  /** G3 */
  async #settledView(doc: ScenarioDoc): Promise<ScenarioView> {
    if (doc.state === 'inactive') await this.#ports.projection.caughtUpWith(lastSeqOf(doc.segments), SETTLE_MS);
    return this.#view(doc);
  }

  #view(doc: ScenarioDoc): ScenarioView {
    const heads = this.#ports.projection.heads(doc.id, doc.run);
    const framesDone = heads.reduce((sum, head) => sum + head.framesDone, 0);
    const lastFrame = heads.reduce<number | null>(
      (last, head) => (head.lastFrame === null ? last : Math.max(last ?? 0, head.lastFrame)),
      null,
    );
    const estimate = doc.source?.framesEstimate ?? null;
    const framesTotal = isComplete(doc.segments)
      ? framesDone
      : estimate === null
        ? null
        : countSelected(doc.spec.sampling, estimate);
    const fps = this.#rateOf(doc);
    const leftFrames = framesTotal === null ? null : Math.max(0, framesTotal - framesDone);
    const etaMs = doc.state !== 'active' || leftFrames === null || !fps ? null : Math.round((leftFrames * 1000) / fps);
    const progress: Progress = { framesDone, framesTotal, fps, etaMs, lastFrame };
    return scenarioView(
      doc,
      progress,
      heads.flatMap(head => head.warnings),
    );
  }

  #rateOf(doc: ScenarioDoc): number | null {
    if (doc.state !== 'active') return null;
    const now = this.#ports.clock.monotonic();
    let fps: number | null = null;
    for (const { segment, attempt } of doc.segments) {
      const rate = this.#rates.get(attemptKey({ scenario: doc.id, run: doc.run, segment, attempt }));
      if (rate !== undefined && now - rate.at < 5_000) fps = (fps ?? 0) + rate.fps;
    }
    return fps;
  }

  #hear(bytes: Uint8Array): void {
    const beat = readRunnerBeat(bytes);
    if (beat === null) return;
    const now = this.#ports.clock.monotonic();
    this.#rates.delete(beat.key); // moves it to the end: the map stays in order of age
    this.#rates.set(beat.key, { fps: beat.fps, at: now });
    for (const [key, rate] of this.#rates) {
      if (now - rate.at < 60_000) break;
      this.#rates.delete(key);
    }
  }
}

const unavailable = (why: string): TroupeError =>
  new TroupeError('unavailable', `The cluster cannot take this now: ${why}. Try again.`, { retryable: true });
