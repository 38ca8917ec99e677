/**
 * The HTTP API as a command calls it.
 *
 * K1 An answer passes the schema of its document before it is used.
 * K2 A refusal of the API comes back as the TroupeError it was; a node that does not answer is `unavailable`, retryable.
 */
import Type, { type Static, type TSchema } from 'typebox';
import { PROBLEMS, type ProblemCode, TroupeError } from '../domain/errors.ts';
import { LIMITS } from '../domain/limits.ts';
import { ModelInfo } from '../domain/model.ts';
import { NodeView } from '../domain/node.ts';
import { problemsOf } from '../domain/parse.ts';
import { type ScenarioCreation, ScenarioView } from '../domain/scenario.ts';
import { TreeNode } from '../domain/tree.ts';

const ScenarioPage = Type.Object({ items: Type.Array(ScenarioView), nextCursor: Type.Optional(Type.String()) });
const ModelList = Type.Object({ items: Type.Array(ModelInfo) });
const NodeList = Type.Object({ items: Type.Array(NodeView) });
const Refusal = Type.Object({ code: Type.String(), detail: Type.String() });

interface Call {
  readonly method?: 'GET' | 'POST' | 'DELETE';
  readonly body?: unknown;
  /** Seconds that the node was asked to wait. */
  readonly wait?: number;
  readonly signal?: AbortSignal | undefined;
}

export class Client {
  readonly url: string;
  readonly #headers: Readonly<Record<string, string>>;

  constructor({ url, token }: { readonly url: string; readonly token: string | null }) {
    this.url = url;
    this.#headers = token === null ? {} : { authorization: `Bearer ${token}` };
  }

  /** Whether a Troupe node answers there. */
  async answers(): Promise<boolean> {
    try {
      await this.#read('/healthz', Type.Object({ status: Type.Literal('ok') }));
      return true;
    } catch (error) {
      if (error instanceof TroupeError) return false;
      throw error;
    }
  }

  create(request: ScenarioCreation): Promise<ScenarioView> {
    return this.#read('/api/v1/scenarios', ScenarioView, { method: 'POST', body: request });
  }

  /** @param wait seconds to wait for its end, at most */
  scenario(id: string, wait = 0, signal?: AbortSignal): Promise<ScenarioView> {
    return this.#read(`${pathOf(id)}?wait=${wait}`, ScenarioView, { wait, signal });
  }

  command(id: string, verb: 'start' | 'stop'): Promise<ScenarioView> {
    return this.#read(`${pathOf(id)}/${verb}`, ScenarioView, { method: 'POST' });
  }

  async delete(id: string): Promise<void> {
    await this.#fetch(pathOf(id), { method: 'DELETE' });
  }

  async list(): Promise<ScenarioView[]> {
    const items: ScenarioView[] = [];
    for (let cursor: string | undefined = ''; cursor !== undefined; ) {
      const query: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
      const page: Static<typeof ScenarioPage> = await this.#read(
        `/api/v1/scenarios?limit=${LIMITS.pageItems}${query}`,
        ScenarioPage,
      );
      items.push(...page.items);
      cursor = page.nextCursor;
    }
    return items;
  }

  async nodes(): Promise<NodeView[]> {
    return (await this.#read('/api/v1/nodes', NodeList)).items;
  }

  /** Has a node give up its runners and partitions, or take part again. */
  drain(node: string, draining: boolean): Promise<NodeView> {
    const verb = draining ? 'drain' : 'undrain';
    return this.#read(`/api/v1/nodes/${encodeURIComponent(node)}/${verb}`, NodeView, { method: 'POST' });
  }

  async models(): Promise<ModelInfo[]> {
    return (await this.#read('/api/v1/models', ModelList)).items;
  }

  tree(): Promise<TreeNode> {
    return this.#read('/api/v1/tree', TreeNode);
  }

  /** The bytes of an export; it breaks off with an error rather than short. */
  async *export(id: string, format: string): AsyncIterable<Uint8Array> {
    const { body } = await this.#fetch(`${pathOf(id)}/export?format=${format}`);
    try {
      for await (const chunk of body ?? []) yield chunk;
    } catch (cause) {
      throw this.#silent(cause);
    }
  }

  /** K1 */
  async #read<T extends TSchema>(path: string, schema: T, call: Call = {}): Promise<Static<T>> {
    const response = await this.#fetch(path, call);
    const value = await this.#json(response);
    if (problemsOf(schema, value).length > 0) {
      const message = `${this.url} does not answer like a Troupe node of this version. Check --url, and the node's version.`;
      throw new TroupeError('internal', message);
    }
    return value as Static<T>;
  }

  /** K2 */
  async #fetch(path: string, { method = 'GET', body, wait = 0, signal }: Call = {}): Promise<Response> {
    // The deadline is for the answer's beginning: an export may take its time.
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), wait * 1000 + LIMITS.clientAnswerMs);
    let response: Response;
    try {
      response = await fetch(this.url + path, {
        method,
        headers: { ...this.#headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
        signal: AbortSignal.any(signal === undefined ? [late.signal] : [late.signal, signal]),
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch (cause) {
      signal?.throwIfAborted();
      throw this.#silent(cause);
    } finally {
      clearTimeout(timer);
    }
    if (response.ok) return response;
    const refusal = await this.#json(response);
    if (problemsOf(Refusal, refusal).length > 0) {
      throw new TroupeError('internal', `${this.url} answered ${response.status} and does not say why.`);
    }
    const { code, detail } = refusal as Static<typeof Refusal>;
    const retryable = response.status === 503 || response.status === 429;
    const hint = code === 'unauthenticated' ? ' Give it with --token or TROUPE_TOKEN.' : '';
    throw new TroupeError(code in PROBLEMS ? (code as ProblemCode) : 'internal', detail + hint, { retryable });
  }

  /** undefined when it is no JSON. */
  async #json(response: Response): Promise<unknown> {
    let text: string;
    try {
      text = await response.text();
    } catch (cause) {
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
    const message = `no node answers at ${this.url}; start one with 'troupe up'`;
    return new TroupeError('unavailable', message, { cause, retryable: true });
  }
}

const pathOf = (id: string): string => `/api/v1/scenarios/${encodeURIComponent(id)}`;
