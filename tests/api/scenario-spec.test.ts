import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { TroupeError } from '../../src/domain/errors.ts';
import { parse, problemsOf } from '../../src/domain/parse.ts';
import { ScenarioCreation, ScenarioRequest, ScenarioSpec } from '../../src/domain/scenario.ts';
import { sameSpec, toSpec } from '../../src/domain/scenario-spec.ts';

const test = suite('scenario spec');
const REQUEST: ScenarioRequest = { source: { uri: 'a.mp4' }, model: 'shapes' };

const codeOf = (request: ScenarioRequest): string => {
  try {
    toSpec(request);
    return 'accepted';
  } catch (error) {
    return error instanceof TroupeError ? error.code : String(error);
  }
};

test('S1: every default is filled in', () => {
  const spec = toSpec(REQUEST);
  assert.equal(spec, {
    source: { uri: 'a.mp4' },
    model: 'shapes',
    sampling: {},
    threshold: 0.25,
    recordThreshold: 0.1,
    iou: 0.45,
    classes: null,
    segments: 1,
    inference: { kind: 'local' },
    onFrameError: 'fail',
    restart: { intensity: 5, periodMs: 60_000 },
    allowMixedEngine: false,
  });
  assert.equal(problemsOf(ScenarioSpec, spec), []);
});

test('S1: what is given stays as given, and a spec says the same when it is asked for again', () => {
  const full: ScenarioRequest = {
    ...REQUEST,
    sampling: { to: 9, every: 3, from: 2 },
    threshold: 0.5,
    recordThreshold: 0.2,
    iou: 0,
    classes: ['b', 'a'],
    onFrameError: 'skip',
    restart: { intensity: 0 },
    allowMixedEngine: true,
  };
  const spec = toSpec(full);
  assert.equal(spec, {
    ...toSpec(REQUEST),
    ...full,
    restart: { intensity: 0, periodMs: 60_000 },
  });
  assert.equal(Object.keys(spec.sampling), ['every', 'from', 'to'], 'one order of keys');
  assert.ok(sameSpec(spec, toSpec({ ...full, sampling: { from: 2, to: 9, every: 3 }, segments: 1, start: false })));
  assert.not.ok(sameSpec(spec, toSpec({ ...full, iou: 0.1 })));
});

test('S3: recordThreshold is lowered to threshold', () => {
  assert.is(toSpec({ ...REQUEST, threshold: 0.05 }).recordThreshold, 0.05);
  assert.is(toSpec({ ...REQUEST, threshold: 0.3, recordThreshold: 0.6 }).recordThreshold, 0.3);
});

test('S2: a file URL is a path, other schemes are not supported yet', () => {
  assert.is(toSpec({ ...REQUEST, source: { uri: 'file:///videos/a%20b.mp4' } }).source.uri, '/videos/a b.mp4');
  for (const uri of ['rtsp://cam/1', 'HTTPS://host/x.mp4', 'rtmp+tls://x']) {
    assert.is(codeOf({ ...REQUEST, source: { uri } }), 'not_supported_yet', uri);
  }
  assert.is(codeOf({ ...REQUEST, source: { uri: 'file://elsewhere/a.mp4' } }), 'invalid_request');
  assert.is(codeOf({ ...REQUEST, source: { uri: 'odd:name.mp4' } }), 'accepted');
  assert.is(codeOf({ ...REQUEST, segments: 2 }), 'not_supported_yet');
});

test('V1: parse hands back the very value, or throws with every place', () => {
  assert.is(parse(ScenarioRequest, REQUEST, 'The body'), REQUEST);
  assert.throws(
    () => parse(ScenarioRequest, { model: 1, extra: 1 }, 'The body'),
    (error: unknown) =>
      error instanceof TroupeError &&
      error.message.startsWith('The body is not valid: ') &&
      ['extra is not a known field', 'source is required', 'model must be string'].every(m =>
        error.message.includes(m),
      ),
  );
});

test('V2, V3: complaints name the place, and of a union only the branch that was meant', () => {
  const cases: readonly (readonly [object, object[]])[] = [
    [{ inference: { kind: 'remote' } }, [{ path: 'inference.url', message: 'is required' }]],
    [{ inference: { kind: 'local', url: 'x' } }, [{ path: 'inference.url', message: 'is not a known field' }]],
    [{ classes: ['a', ''] }, [{ path: 'classes[1]', message: 'must not have fewer than 1 characters' }]],
    [{ onFrameError: 'x' }, [{ path: 'onFrameError', message: 'must be "fail" or "skip"' }]],
    [{ sampling: { every: 0 } }, [{ path: 'sampling.every', message: 'must be >= 1' }]],
  ];
  for (const [extra, problems] of cases) assert.equal(problemsOf(ScenarioCreation, { ...REQUEST, ...extra }), problems);
});

test.run();
