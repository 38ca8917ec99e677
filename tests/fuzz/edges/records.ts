/**
 * Everything that is read of a NATS message or an HTTP header, by the function that reads it: the first line of an input names
 * the reader, the rest is what it is given.
 */
import * as assert from 'uvu/assert';
import { decodeRecord, encodeRecord } from '../../../src/actors/runtime/record-codec.ts';
import {
  decodeFrameCursor,
  decodeIdCursor,
  decodePosition,
  decodeSeqCursor,
  encodeCursor,
  encodePosition,
} from '../../../src/api/cursor.ts';
import { commandBody } from '../../../src/domain/command-body.ts';
import { TroupeError } from '../../../src/domain/errors.ts';
import { knownRequestId } from '../../../src/domain/ids.ts';
import { fromJson, jsonDepth, toJson } from '../../../src/domain/json.ts';
import { LIMITS } from '../../../src/domain/limits.ts';
import { encodeLogRecord, type LogRecord, parseLogRecord } from '../../../src/domain/log-record.ts';
import * as messages from '../../../src/domain/messages.ts';
import { NodeView } from '../../../src/domain/node.ts';
import { parse, parseJson } from '../../../src/domain/parse.ts';
import { readRejection } from '../../../src/domain/rejection.ts';
import { ScenarioRequest, ScenarioSpec } from '../../../src/domain/scenario.ts';
import { readFact, SCENARIO_FACTS } from '../../../src/domain/scenario-facts.ts';
import { toSpec } from '../../../src/domain/scenario-spec.ts';
import { logKey, mailboxTokens, SUBJECTS } from '../../../src/domain/subjects.ts';
import { nextTraceparent, parseTraceparent } from '../../../src/domain/traceparent.ts';
import { openProjection } from '../../../src/infra/sqlite/projection-store.ts';
import type { Edge } from '../edge.ts';
import { mutateJson, pick } from '../mutations.ts';

/** Bounds of what is shown of a stranger's words. */
const SHOWN_CHARS = 64 * 1024;
const chance = { float: () => 0.5 };

const INTERNAL = {
  assignment: messages.Assignment,
  placed: messages.Placed,
  unplaced: messages.Unplaced,
  progressed: messages.Progressed,
  exited: messages.Exited,
  'start-answer': messages.StartAnswer,
  'stop-request': messages.StopRequest,
} as const;

/** Compared as text: JSON has `1e400`, which is written as null. */
const again = (record: LogRecord): string => JSON.stringify(parseLogRecord(encodeLogRecord(record)));

/** Each returns whether it took its input. */
const READERS: Readonly<Record<string, (bytes: Buffer) => boolean>> = {
  log(bytes) {
    const record = parseLogRecord(bytes);
    if (record === null) return false;
    assert.is(again(record), JSON.stringify(record));
    // What passes as a record does not stop the projection: the scenarios behind it would have no results any more.
    const store = openProjection(':memory:');
    try {
      const key = { scenario: 'cam1', run: 1, segment: 0 };
      const entry = { key, seq: 1, record, at: 1, bytes: bytes.length };
      const other = { ...entry, key: { ...key, scenario: 'cam2' }, seq: 2, at: 2 };
      store.apply({ created: 'now', firstSeq: 1, lastSeq: 2 }, [entry, other]);
      assert.is(store.appliedSeq, 2);
      for (const { framesDone } of store.heads('cam1', 1)) assert.type(framesDone, 'number');
      for (const page of store.pages('cam1', 1, 0.25)) assert.ok(page.length > 0);
    } finally {
      store.close();
    }
    return true;
  },
  beat: bytes => messages.readRunnerBeat(bytes) !== null,
  node(bytes) {
    const view = parseJson(NodeView, bytes);
    if (view !== null) toJson(view);
    return view !== null;
  },
  rejection(bytes) {
    const read = readRejection('troupe.rejected.scenario.cam1', 1_700_000_000_000, bytes);
    if (read !== null) assert.ok(JSON.stringify(read.rejection).length < SHOWN_CHARS);
    return read !== null;
  },
  fact(bytes) {
    const all = Object.keys(SCENARIO_FACTS).map(type => readFact(type, bytes));
    for (const read of all) if (read !== null) assert.ok(read.item.text.length <= LIMITS.reasonChars);
    return all.some(read => read !== null);
  },
  record(bytes) {
    let record: ReturnType<typeof decodeRecord>;
    try {
      record = decodeRecord(bytes);
    } catch (error) {
      assert.instance(error, Error);
      return false;
    }
    // Nobody but its owner writes it, and one that is nested deeper than any that an owner writes may be its end.
    if (jsonDepth(bytes) <= LIMITS.messageDepth)
      assert.is(JSON.stringify(decodeRecord(encodeRecord(record))), JSON.stringify(record));
    return true;
  },
  command(bytes) {
    const { body, unreadable } = commandBody(bytes);
    assert.ok(unreadable === undefined || JSON.stringify(body).length < SHOWN_CHARS);
    if (unreadable !== undefined) return false;
    toJson(body);
    return refusedAs('invalid_request', () => {
      const spec = toSpec(parse(ScenarioRequest, body, 'The body'));
      parse(ScenarioSpec, fromJson(toJson(spec)), 'The specification');
      assert.ok(spec.recordThreshold <= spec.threshold);
    });
  },
  cursor(bytes) {
    const text = bytes.toString();
    const taken = [
      refusedAs('invalid_request', () =>
        assert.is(decodeIdCursor(encodeCursor(decodeIdCursor(text))), decodeIdCursor(text)),
      ),
      refusedAs('invalid_request', () => assert.ok(Number.isSafeInteger(decodeSeqCursor(text)))),
      refusedAs('invalid_request', () => {
        const { run, frame } = decodeFrameCursor(text);
        assert.equal(decodeFrameCursor(encodeCursor(run, frame)), { run, frame });
      }),
      refusedAs('invalid_request', () =>
        assert.equal(decodePosition(encodePosition(decodePosition(text))), decodePosition(text)),
      ),
    ];
    return taken.includes(true);
  },
  traceparent(bytes) {
    const text = bytes.toString();
    const trace = parseTraceparent(text);
    const next = parseTraceparent(nextTraceparent(text, chance));
    assert.ok(next !== null);
    if (trace !== null) assert.equal([next.traceId, next.flags], [trace.traceId, trace.flags]);
    return trace !== null;
  },
  subject(bytes) {
    const text = bytes.toString();
    const key = logKey(text);
    if (key !== null) assert.is(Number(SUBJECTS.log(key).split('.')[3]), key.run);
    const { to, verb } = mailboxTokens(text);
    assert.type(`${to.kind}${to.id}${verb}`, 'string');
    const inbox = SUBJECTS.isInbox(text);
    if (inbox) assert.not.match(text, /\s|\*|>/);
    const known = knownRequestId(text);
    if (known !== null) assert.match(known, /^[\w.-]{1,64}$/);
    return key !== null || inbox || known !== null;
  },
  ...Object.fromEntries(
    Object.entries(INTERNAL).map(([name, schema]) => [
      name,
      (bytes: Buffer) => {
        let value: unknown;
        try {
          value = fromJson(bytes);
        } catch (error) {
          assert.instance(error, SyntaxError);
          return false;
        }
        return refusedAs('invalid_request', () => void parse(schema, value, 'It'));
      },
    ]),
  ),
};

/** @returns whether it was taken; a refusal of another code, or an error that is none, is thrown on */
function refusedAs(code: string, work: () => void): boolean {
  try {
    work();
    return true;
  } catch (error) {
    if (!(error instanceof TroupeError) || (error.code !== code && error.code !== 'not_supported_yet')) throw error;
    const { errors = [], message } = error;
    assert.ok(errors.length <= LIMITS.problemPlaces && message.length < 4096, `${message.length} characters`);
    return false;
  }
}

export const records: Edge = {
  name: 'records',
  promise: 'a reader takes what it is given or refuses it in its own way; what it took, written again, reads the same',
  cases: 2_500,
  outcomes: Object.keys(READERS).flatMap(name => [`${name} taken`, `${name} refused`]),
  async open() {
    return {
      seeds: [],
      mutate(seed, chance, all) {
        const [name, rest] = split(seed);
        const others = all.map(bytes => split(bytes)[1]);
        const reader = chance.float() < 0.05 ? pick(chance, Object.keys(READERS)) : name;
        return Buffer.concat([Buffer.from(`${reader}\n`), mutateJson(rest, chance, others)]);
      },
      judge(input) {
        const [name, rest] = split(input);
        const read = READERS[name];
        if (read === undefined) throw new Error(`there is no reader ${name}`);
        return `${name} ${read(rest) ? 'taken' : 'refused'}`;
      },
      async [Symbol.asyncDispose]() {},
    };
  },
};

function split(input: Buffer): [string, Buffer] {
  const end = input.indexOf('\n');
  return [input.toString('latin1', 0, end), input.subarray(end + 1)];
}
