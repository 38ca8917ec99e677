/**
 * The HTTP API as a command calls it. Paths, parameters and bodies have the types that are generated from the API's own
 * document: what is renamed there does not compile here.
 *
 * K1 An answer passes the schema of its document before it is used.
 * K2 A refusal of the API comes back as the TroupeError it was; a node that does not answer is `unavailable`, retryable.
 * K3 Of several addresses the first that can be reached is used, until it can't be.
 */
import { EventSourceParserStream } from 'eventsource-parser/stream';
import Type, { type Static, type TSchema } from 'typebox';
import packageJson from '../../package.json' with { type: 'json' };
import { PROBLEMS, type ProblemCode, TroupeError } from '../domain/errors.ts';
import { LIMITS } from '../domain/limits.ts';
import { ModelInfo } from '../domain/model.ts';
import { NodeView } from '../domain/node.ts';
import { problemsOf } from '../domain/parse.ts';
import { Rejection } from '../domain/rejection.ts';
import { type ScenarioCreation, type ScenarioState, ScenarioView } from '../domain/scenario.ts';
import { TimelineItem } from '../domain/scenario-facts.ts';
import { TreeNode } from '../domain/tree.ts';
import type { paths } from './api-types.ts';
import { Manifest } from './manifest.ts';

const ScenarioPage = Type.Object({ items: Type.Array(ScenarioView), nextCursor: Type.Optional(Type.String()) });
const ModelList = Type.Object({ items: Type.Array(ModelInfo) });
const NodeList = Type.Object({ items: Type.Array(NodeView) });
const Timeline = Type.Object({ items: Type.Array(TimelineItem), omitted: Type.Integer() });
const RejectedPage = Type.Object({ items: Type.Array(Rejection), nextCursor: Type.Optional(Type.String()) });
const Refusal = Type.Object({ code: Type.String(), detail: Type.String() });

type Verb = 'get' | 'post' | 'delete';
type PathOf<V extends Verb> = {
  [P in keyof paths]: paths[P] extends Readonly<Record<V, object>> ? P : never;
}[keyof paths];

/** What a call of an operation carries; a parameter that is undefined is not sent. Give literals: only they are checked name by name. */
type Given<Op> = (Op extends { parameters: { path: infer P } } ? { readonly path: P } : { readonly path?: never }) &
  (Op extends { parameters: { query?: infer Q } }
    ? { readonly query?: { readonly [N in keyof Q]?: Q[N] | undefined } }
    : object) &
  (Op extends { requestBody: { content: { 'application/json': infer B } } } ? { readonly body: B } : object);

/** The document it answers with. */
type Answer<Op> = Op extends { responses: infer R }
  ? {
      [S in keyof R & (200 | 201 | 202)]: R[S] extends { content: { 'application/json': infer A } } ? A : never;
    }[keyof R & (200 | 201 | 202)]
  : never;

interface Call {
  /** Seconds that the node was asked to wait. */
  readonly wait?: number;
  readonly signal?: AbortSignal | undefined;
  readonly headers?: Readonly<Record<string, string>>;
}

interface Parts {
  readonly path?: Readonly<Record<string, unknown>>;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: unknown;
}

export interface ServerEvent {
  /** Where a reader stands behind it; null: where it stood before. */
  readonly id: string | null;
  readonly event: string;
  readonly data: unknown;
}

export interface ClientOptions {
  /** One address, or several with commas between (K3). */
  readonly url: string;
  readonly token: string | null;
  /** Ends every call, with its reason. */
  readonly signal?: AbortSignal;
}

export class Client {
  readonly #urls: readonly string[];
  /** Which of them is used. */
  #at = 0;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #signal: AbortSignal | undefined;

  constructor({ url, token, signal }: ClientOptions) {
    this.#urls = url.split(',').map(one => one.trim().replace(/\/+$/, ''));
    this.#headers = token === null ? {} : { authorization: `Bearer ${token}` };
    this.#signal = signal;
  }

  /** What it was made with. */
  get named(): string {
    return this.#urls.join();
  }

  /** Of the node that is used now. */
  get url(): string {
    return this.#urls[this.#at % this.#urls.length] ?? '';
  }

  /** Whether a Troupe node answers there. */
  async answers(): Promise<boolean> {
    try {
      await this.#read('get', '/healthz', {}, Type.Object({ status: Type.Literal('ok') }));
      return true;
    } catch (error) {
      if (error instanceof TroupeError) return false;
      throw error;
    }
  }

  create(request: ScenarioCreation): Promise<ScenarioView> {
    return this.#read('post', '/api/v1/scenarios', { body: request }, ScenarioView);
  }

  /** @param wait seconds to wait for its end, at most */
  scenario(id: string, wait = 0, signal?: AbortSignal): Promise<ScenarioView> {
    return this.#read('get', '/api/v1/scenarios/{id}', { path: { id }, query: { wait } }, ScenarioView, {
      wait,
      signal,
    });
  }

  /** @param from `start`: a new run */
  start(id: string, from?: 'start'): Promise<ScenarioView> {
    return this.#read('post', '/api/v1/scenarios/{id}/start', { path: { id }, query: { from } }, ScenarioView);
  }

  stop(id: string): Promise<ScenarioView> {
    return this.#read('post', '/api/v1/scenarios/{id}/stop', { path: { id } }, ScenarioView);
  }

  async delete(id: string): Promise<void> {
    await this.#fetch('delete', '/api/v1/scenarios/{id}', { path: { id } });
  }

  async list(state?: ScenarioState): Promise<ScenarioView[]> {
    const items: ScenarioView[] = [];
    for (let cursor: string | undefined; ; ) {
      const page: Static<typeof ScenarioPage> = await this.#read(
        'get',
        '/api/v1/scenarios',
        { query: { limit: LIMITS.pageItems, state, cursor } },
        ScenarioPage,
      );
      items.push(...page.items);
      if (page.nextCursor === undefined) return items;
      cursor = page.nextCursor;
    }
  }

  async nodes(): Promise<NodeView[]> {
    return (await this.#read('get', '/api/v1/nodes', {}, NodeList)).items;
  }

  /** Has a node give up its runners and partitions, or take part again. */
  drain(node: string, draining: boolean): Promise<NodeView> {
    const verb = draining ? '/api/v1/nodes/{node}/drain' : '/api/v1/nodes/{node}/undrain';
    return this.#read('post', verb, { path: { node } }, NodeView);
  }

  async models(): Promise<ModelInfo[]> {
    return (await this.#read('get', '/api/v1/models', {}, ModelList)).items;
  }

  tree(): Promise<TreeNode> {
    return this.#read('get', '/api/v1/tree', {}, TreeNode);
  }

  manifest(id: string, run?: number): Promise<Manifest> {
    return this.#read('get', '/api/v1/scenarios/{id}/manifest', { path: { id }, query: { run } }, Manifest);
  }

  timeline(id: string, run?: number): Promise<Static<typeof Timeline>> {
    return this.#read('get', '/api/v1/scenarios/{id}/timeline', { path: { id }, query: { run } }, Timeline);
  }

  /** The newest. */
  rejected(): Promise<Static<typeof RejectedPage>> {
    return this.#read('get', '/api/v1/rejected', {}, RejectedPage);
  }

  /**
   * Events until the stream breaks, which is an error that may be tried again, or ends, as it does when its node does.
   * @param after the id of the last event that was read
   */
  async *events(
    id: string,
    { from, after }: { readonly from: 'start' | 'now'; readonly after: string | null },
  ): AsyncIterable<ServerEvent> {
    const silent = new AbortController();
    const given = { path: { id }, query: { from } };
    const headers = { accept: 'text/event-stream', ...(after === null ? {} : { 'last-event-id': after }) };
    const { body } = await this.#fetch('get', '/api/v1/scenarios/{id}/events', given, {
      headers,
      signal: silent.signal,
    });
    const events = (body ?? new ReadableStream<Uint8Array>())
      .pipeThrough(watched(silent))
      .pipeThrough(new TextDecoderStream())
      .pipeThrough(new EventSourceParserStream({ maxBufferSize: LIMITS.payloadBytes }));
    try {
      for await (const { id: at, event = 'message', data } of events) {
        yield { id: at ?? null, event, data: JSON.parse(data) as unknown };
      }
    } catch (cause) {
      this.#signal?.throwIfAborted();
      throw this.#silent(cause);
    }
  }

  /** The bytes of an export; it breaks off with an error rather than short. */
  async *export(id: string, format: 'jsonl' | 'csv' | 'coco', run?: number): AsyncIterable<Uint8Array> {
    const { body } = await this.#fetch('get', '/api/v1/scenarios/{id}/export', {
      path: { id },
      query: { format, run },
    });
    try {
      for await (const chunk of body ?? []) yield chunk;
    } catch (cause) {
      this.#signal?.throwIfAborted();
      throw this.#silent(cause);
    }
  }

  /** K1 */
  async #read<V extends Verb, P extends PathOf<V>>(
    verb: V,
    path: P,
    given: Given<paths[P][V]>,
    schema: TSchema,
    call: Call = {},
  ): Promise<Answer<paths[P][V]>> {
    const value = await this.#json(await this.#fetch(verb, path, given, call));
    const [first] = problemsOf(schema, value);
    if (first === undefined) return value as Answer<paths[P][V]>;
    const where = `${first.path} ${first.message}`.trim();
    throw new TroupeError(
      'internal',
      `${this.url} does not answer like a Troupe node of this version, ${packageJson.version} (${where}). ` +
        "Check --url, or use the troupe command of the node's version.",
    );
  }

  /** K2, K3 */
  async #fetch<V extends Verb, P extends PathOf<V>>(
    verb: V,
    path: P,
    given: Given<paths[P][V]>,
    { wait = 0, signal, headers }: Call = {},
  ): Promise<Response> {
    const { path: names = {}, query = {}, body }: Parts = given;
    const place = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(names[name])));
    const search = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) if (value !== undefined) search.set(name, String(value));
    const request: RequestInit = {
      method: verb.toUpperCase(),
      headers: { ...this.#headers, ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    };
    const waitMs = wait * 1000 + LIMITS.clientAnswerMs;
    const response = await this.#reach(
      `${place}${search.size === 0 ? '' : `?${search.toString()}`}`,
      request,
      waitMs,
      signal,
    );
    if (response.ok) return response;
    const refusal = await this.#json(response);
    if (problemsOf(Refusal, refusal).length > 0) {
      const text = `${this.url} answered ${response.status} and does not say why: it is no Troupe node. Check --url.`;
      throw new TroupeError('internal', text);
    }
    const { code, detail } = refusal as Static<typeof Refusal>;
    const retryable = response.status === 503 || response.status === 429;
    const hint = code === 'unauthenticated' ? ' Give it with --token or TROUPE_TOKEN.' : '';
    throw new TroupeError(code in PROBLEMS ? (code as ProblemCode) : 'internal', detail + hint, { retryable });
  }

  /** K3: an address that refuses the connection has taken nothing, so that the next may be asked the same. */
  async #reach(
    place: string,
    request: RequestInit,
    waitMs: number,
    signal: AbortSignal | undefined,
  ): Promise<Response> {
    for (let left = this.#urls.length - 1; ; left--) {
      // The deadline is for the answer's beginning: an export may take its time.
      const late = new AbortController();
      const timer = setTimeout(() => late.abort(), waitMs);
      const ends = [late.signal, signal, this.#signal].filter(one => one !== undefined);
      try {
        return await fetch(this.url + place, { ...request, signal: AbortSignal.any(ends) });
      } catch (cause) {
        signal?.throwIfAborted();
        this.#signal?.throwIfAborted();
        const silent = this.#silent(cause);
        this.#at++;
        if (left === 0 || !isRefused(cause)) throw silent;
      } finally {
        clearTimeout(timer);
      }
    }
  }

  /** undefined when it is no JSON. */
  async #json(response: Response): Promise<unknown> {
    let text: string;
    try {
      text = await response.text();
    } catch (cause) {
      this.#signal?.throwIfAborted();
      throw this.#silent(cause);
    }
    try {
      return JSON.parse(text);
    } catch {
      return undefined;
    }
  }

  /** K2 */
  #silent(cause: unknown): TroupeError {
    const message = `no node answers at ${this.#urls.join(' or ')}; start one with 'troupe up', or name another with --url`;
    return new TroupeError('unavailable', message, { cause, retryable: true });
  }
}

/** Passes bytes on, and aborts when none come for several of the intervals in which the server says at least something. */
function watched(silent: AbortController): TransformStream<Uint8Array, Uint8Array> {
  const start = (): NodeJS.Timeout => setTimeout(() => silent.abort(), SILENT_INTERVALS * LIMITS.eventQuietMs);
  let timer = start();
  return new TransformStream({
    transform(chunk, controller) {
      clearTimeout(timer);
      timer = start();
      controller.enqueue(chunk);
    },
    flush: () => clearTimeout(timer),
    cancel: () => clearTimeout(timer),
  });
}

const SILENT_INTERVALS = 3;

function isRefused(error: unknown): boolean {
  const { cause } = error as { cause?: { code?: unknown } };
  return cause?.code === 'ECONNREFUSED' || cause?.code === 'ENOTFOUND';
}
