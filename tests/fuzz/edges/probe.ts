/** What ffprobe says of a file, as JSON: a program that reads strangers' bytes wrote it. */
import { writeFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import * as assert from 'uvu/assert';
import { TroupeError } from '../../../src/domain/errors.ts';
import { fromJson, toJson } from '../../../src/domain/json.ts';
import { LIMITS } from '../../../src/domain/limits.ts';
import { problemsOf } from '../../../src/domain/parse.ts';
import { SourceInfo } from '../../../src/domain/source.ts';
import { probe as probeFile } from '../../../src/infra/video/probe.ts';
import type { Edge } from '../edge.ts';
import { mutateJson } from '../mutations.ts';
import { scriptedMedia } from '../scripted-media.ts';
import { temporary } from './temporary.ts';

export const probe: Edge = {
  name: 'probe',
  promise: 'what ffprobe says is a description that crosses the bus as it is, or source_unreadable in some words',
  cases: 1_000,
  outcomes: ['described', 'refused'],
  async open() {
    const folder = temporary();
    const file = folder.at('video.mp4');
    writeFileSync(file, 'not looked at');
    return {
      seeds: [],
      mutate: mutateJson,
      async judge(input) {
        const run = () => scriptedMedia({ stdout: Readable.from([input]) });
        const { signal } = new AbortController();
        try {
          const source = await probeFile(run, file, { engine: 'ffmpeg', remedy: 'Convert it.' }, signal);
          assert.equal(problemsOf(SourceInfo, source), []);
          assert.equal(fromJson(toJson(source)), source);
          assert.ok(source.width * source.height <= LIMITS.picturePixels);
          return 'described';
        } catch (error) {
          if (!(error instanceof TroupeError) || error.code !== 'source_unreadable') throw error;
          assert.ok(error.message.length < 2_000, `${error.message.length} characters`);
          return 'refused';
        }
      },
      [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
    };
  },
};
