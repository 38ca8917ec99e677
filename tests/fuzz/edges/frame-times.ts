/** What ffmpeg prints of its frames' times. */
import * as assert from 'uvu/assert';
import { TroupeError } from '../../../src/domain/errors.ts';
import { frameTimes } from '../../../src/infra/video/frame-times.ts';
import type { Edge } from '../edge.ts';
import { mutateLines } from '../mutations.ts';
import { inChunks } from '../scripted-media.ts';

const WORDS = ['t=0', 'frame:0', 'frame:1', 'pts:NOPTS', 'pts:-1', 'pts:9999999999999999999', 'pts_time:0.04'];

/** @returns the times up to the end or the first error, and that */
async function read(input: Buffer, sizes: readonly number[]): Promise<{ times: (number | null)[]; error: unknown }> {
  const times: (number | null)[] = [];
  try {
    for await (const ms of frameTimes(inChunks(input, sizes))) times.push(ms);
    return { times, error: null };
  } catch (error) {
    return { times, error };
  }
}

export const frameTimesEdge: Edge = {
  name: 'frame-times',
  promise: 'a line is a time or none or the end with decode_failed, the same however the output is cut',
  cases: 2_000,
  outcomes: ['all read', 'refused'],
  async open() {
    return {
      seeds: [],
      mutate: (seed, chance, all) => mutateLines(seed, chance, all, WORDS),
      async judge(input) {
        const { times, error } = await read(input, [Math.max(1, input.length)]);
        const cut = await read(input, [1 + (input.length % 7), 1 + (input.length % 64)]);
        assert.equal(cut.times, times);
        assert.is(String(cut.error), String(error));
        assert.ok(times.every(ms => ms === null || Number.isFinite(ms)));
        if (error === null) return 'all read';
        assert.ok(error instanceof TroupeError);
        assert.is(error.code, 'decode_failed', error.message);
        assert.ok(error.message.length < 1_000, `${error.message.length} characters`);
        return 'refused';
      },
      async [Symbol.asyncDispose]() {},
    };
  },
};
