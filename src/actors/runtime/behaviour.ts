/**
 * What a durable actor is: a pure function from (state, message) to the next state, recording effects as it goes.
 *
 * B1 `receive` touches nothing but its arguments: no clock, no network, no chance beside the context's.
 * B2 There is no `ask`: tell, and correlate the answer when it comes.
 * B3 What must happen outside — a process started, a log closed — is not an effect that can be lost but an *errand*:
 *    derived from the committed state, carried out until it answers, and carried out again by the next owner.
 */
import type { TSchema } from 'typebox';
import type { Problem } from '../../domain/errors.ts';
import type { Random } from '../ports/clock.ts';
import type { ActorAddress } from '../ports/mailbox.ts';

/** A message as `receive` sees it: its body has been parsed against the verb's schema. */
export interface Inbound {
  readonly verb: string;
  readonly body: unknown;
  /** `cmd` from strangers, `sys` from actors and nodes, `timer` and `signal` from this actor's own runtime. */
  readonly class: 'cmd' | 'sys' | 'timer' | 'signal';
  readonly id: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Records effects; nothing happens before the commit that contains them. */
export interface Context {
  readonly self: ActorAddress;
  /** Wall clock, ms. One reading for the whole `receive`. */
  readonly now: number;
  readonly random: Random;
  /** What this step causes says that it comes from here (W3C Trace Context). */
  readonly traceparent: string;
  /** What an earlier incarnation of this id left behind when it was deleted; empty otherwise. */
  readonly remnant: Readonly<Record<string, unknown>>;
  /** Sends through the outbox: at least once, in order per receiver, repeats dropped there. */
  tell(to: ActorAddress, verb: string, body: unknown): void;
  /** Answers the public command at hand (or an earlier one's inbox), after the commit; nothing when nobody waits. */
  reply(body: unknown, inbox?: string): void;
  /** Refuses the message: answered, stored under `troupe.rejected`, and counted as processed. */
  refuse(problem: Problem): void;
  /** Publishes a fact: `troupe.event.<kind>.<id>.<type>`, of itself or of what it supervises. */
  publish(type: string, body: Readonly<Record<string, unknown>>, of?: ActorAddress): void;
  /** Arms or moves a durable timer; it fires as a `timer` message with this verb, once, at or after `delayMs`. */
  timer(name: string, delayMs: number, verb: string, body: unknown): void;
  cancel(name: string): void;
}

/** Work outside, named by what makes it one and the same errand. Its answer arrives as a `signal`. */
export interface Errand {
  /** Unique within the actor; the same key is the same errand over restarts and owners. */
  readonly key: string;
  /** Which executor carries it out. */
  readonly kind: string;
  readonly body: unknown;
}

/** Something whose silence must be noticed: `lost` arrives as a `signal` with the key. */
export interface Monitor {
  readonly key: string;
  readonly kind: string;
  readonly body: unknown;
}

export interface Verb {
  readonly class: Inbound['class'];
  readonly body: TSchema;
}

/** One row of a durable supervisor's child table. */
export interface ChildRow {
  readonly id: string;
  readonly kind: string;
  readonly state: string;
  readonly node: string | null;
  readonly pid: number | null;
  readonly restarts: number;
  readonly attempt?: number;
}

export interface Behaviour<State> {
  readonly kind: string;
  /** Version of the state's shape. */
  readonly version: number;
  readonly verbs: Readonly<Record<string, Verb>>;
  /** Senders whose last number it remembers, when fewer than `seenSenders` are enough: each commit writes them all. */
  readonly senders?: number;
  /**
   * @param state null: this actor does not exist (never created, or deleted)
   * @returns the next state; null: it does not exist (any more)
   * @throws a defect; the message is tried again and dead-lettered at the third abnormal end
   */
  receive(state: State | null, message: Inbound, context: Context): State | null;
  /** What is owed to the world in this state (B3). */
  errands?(state: State): readonly Errand[];
  monitors?(state: State): readonly Monitor[];
  /** The child table, for `/tree`. */
  inspect?(state: State): readonly ChildRow[];
  /** The trace that this actor's timers, signals and messages without one go on with. */
  trace?(state: State): string | undefined;
  /** Brings a state of an older version to this one. */
  upgrade?(state: unknown, version: number): State;
  /** What outlives a deletion, in the tombstone: handed to the next `receive` that finds no state. */
  remnant?(state: State): Readonly<Record<string, unknown>>;
}
