/**
 * A simulated operating-system process: everything it says to the world goes through here, so that it can die, freeze and
 * come back as a zombie at any await, and so that the world can lose, delay and repeat what it says.
 *
 * SP1 After `kill` nothing of the process has any effect any more: calls under way never return, timers never fire.
 * SP2 While frozen it does nothing; after `thaw` everything that was due happens at once, with what it knew before.
 * SP3 Which fault an operation may meet is in one table (faults.ts); a time-out is one of: did not land, landed, lands later.
 * SP4 A request that is not answered ends after `natsRequestMs`, or when the connection breaks. While there is none it waits as
 *     long for one, and was then certainly not sent.
 */
import { type Bus, type BusMessage, NoResponder } from '../../src/actors/ports/bus.ts';
import type { Clock } from '../../src/actors/ports/clock.ts';
import type { Journal } from '../../src/actors/ports/journal.ts';
import type { Mailbox } from '../../src/actors/ports/mailbox.ts';
import type { PredictionLog } from '../../src/actors/ports/prediction-log.ts';
import type { StateStore } from '../../src/actors/ports/state-store.ts';
import { MailboxFull, WriteRetry, WriteUnknown } from '../../src/actors/ports/write-outcome.ts';
import { TroupeError } from '../../src/domain/errors.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import type { MemoryServer } from '../../src/infra/memory/memory-server.ts';
import { StreamReplaced } from '../../src/infra/memory/memory-stream.ts';
import { SeededRandom } from '../../src/infra/memory/seeded-random.ts';
import type { VirtualClock } from '../../src/infra/memory/virtual-clock.ts';
import { type Fault, fraction, hashOf, mix, type Operation, type Weather } from './faults.ts';
import { SimLink } from './link.ts';

/** What all processes of a world share. */
export interface Surroundings {
  readonly server: MemoryServer;
  readonly clock: VirtualClock;
  readonly weather: Weather;
  /** How long the server takes for anything, ms. */
  latencyMs: number;
  /** Pairs of processes between which core messages do not pass, `a b` in order of name. */
  readonly severed: Set<string>;
  note(who: string, what: string): void;
}

/** Where a core message comes from; no process reads it. */
const FROM = 'Sim-From';
/** A new one each time: the reactions to a promise live as long as it does. */
const never = (): Promise<never> => new Promise(() => {});
const MOST_LATE_MS = 3_000;
const SLOW_MS = 1_000;

/** How an unanswered request is told. */
interface Words {
  readonly notSent: () => Error;
  readonly unanswered: () => Error;
}

const WRITE: Words = {
  notSent: () => new WriteRetry('simulated: not sent'),
  unanswered: () => new WriteUnknown('simulated: no answer'),
};
const unavailable = (): Error => new TroupeError('unavailable', 'simulated: no answer', { retryable: true });
const READ: Words = { notSent: unavailable, unanswered: unavailable };

export class SimProcess {
  readonly name: string;
  /** The machine's, shared by processes that a partition cuts off together. */
  readonly machine: string;
  readonly random: SeededRandom;
  readonly link = new SimLink();
  /** Wall clock against the world's, ms. */
  wallOffsetMs = 0;
  readonly #world: Surroundings;
  /** Of its monotonic clock: 1.01 is fast. */
  readonly #rate: number;
  readonly #turns = new Map<Operation, { readonly base: number; turn: number }>();
  readonly #reads = new Set<AbortController>();
  /** The connection's NC4, as a node has it. */
  recognise: () => boolean = () => true;
  #asked = { session: 0, isKnown: true };
  #dead = false;
  #thawed: PromiseWithResolvers<void> | null = null;

  constructor(name: string, machine: string, world: Surroundings, rate = 1) {
    this.name = name;
    this.machine = machine;
    this.#world = world;
    this.#rate = rate;
    this.random = new SeededRandom(hashOf(name, world.weather.seed));
  }

  get dead(): boolean {
    return this.#dead;
  }

  get frozen(): boolean {
    return this.#thawed !== null;
  }

  kill(): void {
    if (this.#dead) return;
    this.#dead = true;
    for (const read of this.#reads) read.abort();
    this.#reads.clear();
  }

  freeze(): void {
    this.#thawed ??= Promise.withResolvers<void>();
  }

  thaw(): void {
    this.#thawed?.resolve();
    this.#thawed = null;
  }

  /** SP1, SP2 */
  async alive(): Promise<void> {
    while (this.#thawed !== null) await this.#thawed.promise;
    if (this.#dead) await never();
  }

  /** SP1, SP2: now, or when it is thawed, or never. */
  run(work: () => void): void {
    if (this.#dead) return;
    if (this.#thawed === null) work();
    else void this.#thawed.promise.then(() => this.run(work));
  }

  fault(operation: Operation): Fault | null {
    let turns = this.#turns.get(operation);
    if (turns === undefined) {
      turns = { base: mix(hashOf(this.name, this.#world.weather.seed), hashOf(operation, 0)), turn: 0 };
      this.#turns.set(operation, turns);
    }
    const fault = this.#world.weather.decide(this.name, operation, turns.base, ++turns.turn);
    if (fault !== null) this.#world.note(this.name, `${operation} ${turns.turn} meets ${fault}`);
    return fault;
  }

  /** How much of its most a fault takes: the seed's and the operation's own. */
  share(operation: Operation): number {
    const turns = this.#turns.get(operation);
    return fraction(mix(turns?.base ?? 0, ~(turns?.turn ?? 0)));
  }

  /** Of the world's own time, whatever this process' clock says. */
  #pause(ms: number): Promise<void> {
    return this.#world.clock.sleep(ms);
  }

  /** SP4 */
  async #exchange<T>(words: Words, act: () => Promise<T>): Promise<T> {
    const { link } = this;
    const { latencyMs, server } = this.#world;
    if (!link.connected && !(await this.#connects())) throw words.notSent();
    if (!this.#isKnown) throw words.notSent();
    if (!link.cut && latencyMs === 0) return act();
    const { copies } = server;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const unanswered = (): void => reject(words.unanswered());
    const timer = this.#world.clock.timer(LIMITS.natsRequestMs, unanswered);
    const off = link.onBreak(unanswered);
    const answer = (tell: () => void): void => void this.#pause(latencyMs / 2).then(() => link.pass(tell));
    link.pass(
      () =>
        void this.#pause(latencyMs / 2)
          .then(() => (server.copies === copies ? act() : never())) // what was on its way died with the server
          .then(
            result => answer(() => resolve(result)),
            error => answer(() => reject(error)),
          ),
    );
    try {
      return await promise;
    } finally {
      timer.cancel();
      off();
    }
  }

  /** Asked once in each session. */
  get #isKnown(): boolean {
    const { session } = this.link;
    if (this.#asked.session !== session) this.#asked = { session, isKnown: this.#asked.isKnown && this.recognise() };
    return this.#asked.isKnown;
  }

  #connects(): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const off = this.link.onConnect(() => {
      timer.cancel();
      resolve(true);
    });
    const timer = this.#world.clock.timer(LIMITS.natsRequestMs, () => {
      off();
      resolve(false);
    });
    return promise;
  }

  /** SP3. @param words of a purge, which is an order that may be given twice, or of a write */
  async #write<T>(operation: Operation, words: Words, act: () => Promise<T>): Promise<T> {
    await this.alive();
    const fault = this.fault(operation);
    if (fault === 'refused') throw words.notSent();
    if (fault === 'full') throw new MailboxFull('simulated: full');
    if (fault === 'lost') {
      await this.#pause(SLOW_MS);
      await this.alive();
      throw words.unanswered();
    }
    if (fault === 'pending') {
      const delayMs = this.share(operation) * MOST_LATE_MS;
      const propose = (): Promise<T> => this.link.withProposal(this.#pause(delayMs), act);
      this.#exchange(words, propose).catch(() => false); // nobody hears of it
      await this.#pause(100);
      await this.alive();
      throw words.unanswered();
    }
    if (fault === 'late') await this.#pause(this.share(operation) * MOST_LATE_MS);
    let result: T;
    try {
      result = await this.#exchange(words, act);
    } catch (error) {
      await this.alive();
      throw error;
    }
    await this.alive();
    if (fault === 'landed') {
      await this.#pause(SLOW_MS);
      await this.alive();
      throw words.unanswered();
    }
    return result;
  }

  async #read<T>(operation: Operation, act: () => Promise<T>): Promise<T> {
    await this.alive();
    const fault = this.fault(operation);
    if (fault === 'refused') throw unavailable();
    if (fault === 'silent') {
      await this.#pause(LIMITS.natsRequestMs);
      await this.alive();
      throw unavailable();
    }
    if (fault === 'slow') await this.#pause(this.share(operation) * SLOW_MS);
    let result: T;
    try {
      result = await this.#exchange(READ, act);
    } catch (error) {
      await this.alive();
      throw error;
    }
    await this.alive();
    return result;
  }

  async *#follow<T>(
    operation: Operation,
    signal: AbortSignal,
    read: (signal: AbortSignal) => AsyncIterable<T>,
  ): AsyncGenerator<T, void, void> {
    await this.alive();
    const reading = new AbortController();
    const stop = (): void => reading.abort();
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    this.#reads.add(reading);
    try {
      for await (const item of read(reading.signal)) {
        await this.alive();
        while (this.link.cut && !reading.signal.aborted) await this.link.mended(reading.signal); // LK3
        if (reading.signal.aborted) break;
        await this.alive();
        const fault = this.fault(operation);
        if (fault === 'broken') throw new StreamReplaced('simulated: the read is lost');
        if (fault === 'slow') {
          await this.#pause(this.share(operation) * SLOW_MS);
          await this.alive();
        }
        yield item;
      }
      await this.alive();
    } finally {
      signal.removeEventListener('abort', stop);
      this.#reads.delete(reading);
    }
  }

  readonly clock: Clock = {
    now: () => Math.floor(this.#world.clock.now() + this.wallOffsetMs),
    monotonic: () => this.#world.clock.monotonic() * this.#rate,
    timer: (delayMs, fire) => {
      const late = this.fault('clock.timer') === 'late' ? this.share('clock.timer') * MOST_LATE_MS : 0;
      // As setTimeout: in 1 ms at the soonest.
      return this.#world.clock.timer(Math.max(1, delayMs) / this.#rate + late, () => this.run(fire));
    },
    sleep: async (delayMs, signal) => {
      const late = this.fault('clock.sleep') === 'late' ? this.share('clock.sleep') * MOST_LATE_MS : 0;
      await this.#world.clock.sleep(delayMs / this.#rate + late, signal);
      if (this.#dead || this.#thawed !== null) await this.alive();
      signal?.throwIfAborted(); // while it was frozen
    },
  };

  store(bucket: string): StateStore {
    const real = this.#world.server.stateStore(bucket, this.link);
    return {
      get: key => this.#read('store.get', () => real.get(key)),
      put: (key, value, expected) => this.#write('store.put', WRITE, () => real.put(key, value, expected)),
      delete: (key, expected) => this.#write('store.delete', WRITE, () => real.delete(key, expected)),
      tidy: minAgeMs => this.#write('store.tidy', READ, () => real.tidy(minAgeMs)),
      watch: (signal, certain) => this.#follow('store.watch', signal, reading => real.watch(reading, certain)),
    };
  }

  mailbox(): Mailbox {
    const real = this.#world.server.mailbox(this.link);
    return {
      partitions: real.partitions,
      partitionOf: address => real.partitionOf(address),
      send: message => this.#write('mailbox.send', WRITE, () => real.send(message)),
      read: (partition, signal) => this.#follow('mailbox.read', signal, reading => real.read(partition, reading)),
      purge: (address, throughSeq) => this.#write('mailbox.purge', READ, () => real.purge(address, throughSeq)),
    };
  }

  log(): PredictionLog {
    const real = this.#world.server.predictionLog(() => {}, this.link);
    return {
      last: key => this.#read('log.last', () => real.last(key)),
      append: (key, record, expected) => this.#write('log.append', WRITE, () => real.append(key, record, expected)),
      identity: () => this.#read('log.identity', () => real.identity()),
      timeOf: seq => this.#read('log.timeOf', () => real.timeOf(seq)),
      next: afterSeq => this.#read('log.next', () => real.next(afterSeq)),
      read: (fromSeq, signal) => this.#follow('log.read', signal, reading => real.read(fromSeq, reading)),
      purge: scenario => this.#write('log.purge', READ, () => real.purge(scenario)),
    };
  }

  journal(): Journal {
    const real = this.#world.server.journal(this.link);
    return {
      append: (subject, body) => this.#write('journal.append', WRITE, () => real.append(subject, body)),
      read: (filter, fromSeq, signal) =>
        this.#follow('journal.read', signal, reading => real.read(filter, fromSeq, reading)),
      extent: filter => this.#read('journal.extent', () => real.extent(filter)),
      stored: (filter, extent, signal) =>
        this.#follow('journal.stored', signal, reading => real.stored(filter, extent, reading)),
    };
  }

  /** Core messages may be lost, late (and so out of order) or come twice. */
  bus(): Bus {
    const real = this.#world.server.bus();
    const { link } = this;
    const say = (subject: string, body: Uint8Array, headers: Readonly<Record<string, string>>): void => {
      const fault = this.fault('bus.publish');
      if (fault === 'lost') return;
      const go = (): void => link.pass(() => real.publish(subject, body, { ...headers, [FROM]: this.name }));
      if (fault === 'late') this.#world.clock.timer(this.share('bus.publish') * MOST_LATE_MS, go);
      else go();
      if (fault === 'twice') go();
    };
    const isSevered = ({ headers }: BusMessage): boolean => {
      const { severed } = this.#world;
      return severed.size > 0 && severed.has(pairOf(this.machine, machineOf(headers[FROM] ?? '')));
    };
    return {
      get connected() {
        return link.connected;
      },
      publish: (subject, body, headers = {}) => this.run(() => say(subject, body, headers)),
      subscribe: (subject, receive, queue) =>
        real.subscribe(
          subject,
          message => {
            if (!isSevered(message)) link.pass(() => this.run(() => receive(message)));
          },
          queue,
        ),
      request: async (subject, body, timeoutMs, headers = {}) => {
        await this.alive();
        const answer = await this.#ask(real, subject, body, timeoutMs, headers, isSevered);
        await this.alive();
        if (answer instanceof Error) throw answer;
        return answer;
      },
      flush: async () => {
        await this.alive();
        const fault = this.fault('bus.flush');
        if (fault === 'refused') throw new Error('simulated: the connection broke');
        if (fault === 'slow') await this.#pause(this.share('bus.flush') * SLOW_MS);
        await this.#exchange(READ, async () => {});
        await this.alive();
      },
    };
  }

  #ask(
    real: Bus,
    subject: string,
    body: Uint8Array,
    timeoutMs: number,
    headers: Readonly<Record<string, string>>,
    isSevered: (message: BusMessage) => boolean,
  ): Promise<BusMessage | Error> {
    const { promise, resolve } = Promise.withResolvers<BusMessage | Error>();
    const timer = this.#world.clock.timer(timeoutMs, () => resolve(new RequestTimeout(`no answer on ${subject}`)));
    const fault = this.fault('bus.request');
    const heard = (answer: BusMessage | Error): void => {
      const arrive = (): void =>
        this.link.pass(() => {
          timer.cancel();
          resolve(answer);
        });
      if (fault === 'late') this.#world.clock.timer(this.share('bus.request') * MOST_LATE_MS, arrive);
      else arrive();
    };
    if (fault !== 'lost')
      this.link.pass(() => {
        real.request(subject, body, timeoutMs, { ...headers, [FROM]: this.name }).then(
          answer => {
            if (!isSevered(answer)) heard(answer);
          },
          error => {
            if (error instanceof NoResponder) heard(error);
          },
        );
      });
    return promise;
  }
}

class RequestTimeout extends Error {
  override readonly name = 'TimeoutError';
}

export const pairOf = (a: string, b: string): string => (a < b ? `${a} ${b}` : `${b} ${a}`);

/** A runner is named `<attempt>@<node>#<incarnation>`, a node `<node>#<incarnation>`. */
export const machineOf = (process: string): string => process.slice(process.indexOf('@') + 1).replace(/#.*/, '');
