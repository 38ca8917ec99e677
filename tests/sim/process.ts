/**
 * A simulated operating-system process: everything it says to the world goes through here, so that it can die, freeze and
 * come back as a zombie at any await, and so that the world can lose, delay and repeat what it says.
 *
 * SP1 After `kill` nothing of the process has any effect any more: calls under way never return, timers never fire.
 * SP2 While frozen it does nothing; after `thaw` everything that was due happens at once, with what it knew before.
 * SP3 A write's fault is one of: not sent (refused), lost (time-out, did not land), landed (time-out, did land), late.
 */
import type { Bus } from '../../src/actors/ports/bus.ts';
import type { Clock } from '../../src/actors/ports/clock.ts';
import type { Journal } from '../../src/actors/ports/journal.ts';
import type { Mailbox } from '../../src/actors/ports/mailbox.ts';
import type { PredictionLog } from '../../src/actors/ports/prediction-log.ts';
import type { StateStore } from '../../src/actors/ports/state-store.ts';
import { WriteRetry, WriteUnknown } from '../../src/actors/ports/write-outcome.ts';
import type { MemoryServer } from '../../src/infra/memory/memory-server.ts';
import type { SeededRandom } from '../../src/infra/memory/seeded-random.ts';
import type { VirtualClock } from '../../src/infra/memory/virtual-clock.ts';

export interface Weather {
  /** Share of operations that meet a fault; 0 ends all faults. */
  rate: number;
  /** How often each fault was met, by `<operation> <fault>`. */
  readonly met: Map<string, number>;
  readonly random: SeededRandom;
}

type Fault = 'none' | 'refused' | 'lost' | 'landed' | 'late' | 'twice';

const NEVER = new Promise<never>(() => {});

export class SimProcess {
  readonly name: string;
  readonly #server: MemoryServer;
  readonly #clock: VirtualClock;
  readonly #weather: Weather;
  #dead = false;
  #thawed: PromiseWithResolvers<void> | null = null;

  constructor(name: string, server: MemoryServer, clock: VirtualClock, weather: Weather) {
    this.name = name;
    this.#server = server;
    this.#clock = clock;
    this.#weather = weather;
  }

  get dead(): boolean {
    return this.#dead;
  }

  kill(): void {
    this.#dead = true;
  }

  freeze(): void {
    this.#thawed ??= Promise.withResolvers<void>();
  }

  thaw(): void {
    this.#thawed?.resolve();
    this.#thawed = null;
  }

  /** SP1, SP2 */
  async #alive(): Promise<void> {
    while (this.#thawed !== null) await this.#thawed.promise;
    if (this.#dead) await NEVER;
  }

  #run(work: () => void): void {
    if (this.#dead) return;
    if (this.#thawed === null) work();
    else void this.#thawed.promise.then(() => this.#run(work));
  }

  #fault(operation: string, possible: readonly Fault[]): Fault {
    const { random, rate, met } = this.#weather;
    if (random.float() >= rate) return 'none';
    const fault = possible[Math.floor(random.float() * possible.length)] ?? 'none';
    const key = `${operation} ${fault}`;
    met.set(key, (met.get(key) ?? 0) + 1);
    return fault;
  }

  /** SP3 */
  async #write<T>(operation: string, act: () => Promise<T>): Promise<T> {
    await this.#alive();
    const fault = this.#fault(operation, ['refused', 'lost', 'landed', 'late']);
    if (fault === 'refused') throw new WriteRetry('simulated: refused');
    if (fault === 'lost') {
      await this.clock.sleep(1_000);
      throw new WriteUnknown('simulated: lost');
    }
    if (fault === 'late') await this.clock.sleep(this.#weather.random.float() * 3_000);
    const result = await act();
    await this.#alive();
    if (fault === 'landed') {
      await this.clock.sleep(1_000);
      throw new WriteUnknown('simulated: landed, unheard');
    }
    return result;
  }

  async #read<T>(operation: string, act: () => Promise<T>): Promise<T> {
    await this.#alive();
    if (this.#fault(operation, ['refused']) === 'refused') throw new WriteRetry('simulated: no answer');
    const result = await act();
    await this.#alive();
    return result;
  }

  async *#follow<T>(source: AsyncIterable<T>): AsyncGenerator<T, void, void> {
    for await (const item of source) {
      await this.#alive();
      yield item;
    }
  }

  readonly clock: Clock = {
    now: () => this.#clock.now(),
    monotonic: () => this.#clock.monotonic(),
    timer: (delayMs, fire) => this.#clock.timer(delayMs, () => this.#run(fire)),
    sleep: async (delayMs, signal) => {
      await this.#clock.sleep(delayMs, signal);
      await this.#alive();
    },
  };

  store(bucket: string): StateStore {
    const real = this.#server.stateStore(bucket);
    return {
      get: key => this.#read('store.get', () => real.get(key)),
      put: (key, value, expected) => this.#write('store.put', () => real.put(key, value, expected)),
      delete: (key, expected) => this.#write('store.delete', () => real.delete(key, expected)),
      tidy: minAgeMs => this.#write('store.tidy', () => real.tidy(minAgeMs)),
      watch: signal => this.#follow(real.watch(signal)),
    };
  }

  mailbox(): Mailbox {
    const real = this.#server.mailbox();
    return {
      partitions: real.partitions,
      partitionOf: address => real.partitionOf(address),
      send: message => this.#write('mailbox.send', () => real.send(message)),
      read: (partition, signal) => this.#follow(real.read(partition, signal)),
      purge: (address, throughSeq) => this.#write('mailbox.purge', () => real.purge(address, throughSeq)),
    };
  }

  log(): PredictionLog {
    const real = this.#server.predictionLog();
    return {
      last: key => this.#read('log.last', () => real.last(key)),
      append: (key, record, expected) => this.#write('log.append', () => real.append(key, record, expected)),
      identity: () => this.#read('log.identity', () => real.identity()),
      timeOf: seq => this.#read('log.timeOf', () => real.timeOf(seq)),
      next: afterSeq => this.#read('log.next', () => real.next(afterSeq)),
      read: (fromSeq, signal) => this.#follow(real.read(fromSeq, signal)),
      purge: scenario => this.#write('log.purge', () => real.purge(scenario)),
    };
  }

  journal(): Journal {
    const real = this.#server.journal();
    return {
      append: (subject, body) => this.#write('journal.append', () => real.append(subject, body)),
      read: (filter, fromSeq, signal) => this.#follow(real.read(filter, fromSeq, signal)),
      extent: filter => real.extent(filter),
      stored: (filter, extent, signal) => this.#follow(real.stored(filter, extent, signal)),
    };
  }

  /** Core messages may be lost, late (and so out of order) or come twice. */
  bus(): Bus {
    const real = this.#server.bus();
    const say = (subject: string, body: Uint8Array): void => {
      const fault = this.#fault('bus.publish', ['lost', 'late', 'twice']);
      if (fault === 'lost') return;
      if (fault === 'late') this.#clock.timer(this.#weather.random.float() * 2_000, () => real.publish(subject, body));
      else real.publish(subject, body);
      if (fault === 'twice') real.publish(subject, body);
    };
    return {
      connected: true,
      publish: (subject, body) => this.#run(() => say(subject, body)),
      subscribe: (subject, receive, queue) =>
        real.subscribe(subject, message => this.#run(() => receive(message)), queue),
      request: async (subject, body, timeoutMs) => {
        await this.#alive();
        if (this.#fault('bus.request', ['lost']) === 'lost') {
          await this.clock.sleep(timeoutMs);
          throw new Error('simulated: no answer');
        }
        const answer = await real.request(subject, body, timeoutMs);
        await this.#alive();
        return answer;
      },
      flush: async () => {},
    };
  }
}
