// shared
/** Files below a root that try to make the node read another one, or never end: each is refused, and a canary is never read. */
import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Decoder } from '../../src/actors/ports/decoder.ts';
import { TroupeError } from '../../src/domain/errors.ts';
import { programs } from '../../src/infra/config.ts';
import { findSandbox, NO_SANDBOX } from '../../src/infra/process/sandbox.ts';
import { ffmpegDecoder } from '../../src/infra/video/ffmpeg-decoder.ts';
import { answersIn, inSandbox } from '../../src/infra/video/media-process.ts';
import { resolveSource } from '../../src/infra/video/source-file.ts';
import { CLIPS, tools } from '../video/clips.ts';

const test = suite('strange sources');
const folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'troupe-strange-')));
test.after(() => rmSync(folder, { recursive: true, force: true }));
const root = path.join(folder, 'root');
const at = (name: string): string => path.join(root, name);
mkdirSync(root);

/** A real video outside the root: whoever read it could play it. And a text, whose words would show. */
const canary = path.join(folder, 'canary.ts');
CLIPS['transport.ts']?.(canary);
const words = path.join(folder, 'canary.txt');
writeFileSync(words, 'CANARY'.repeat(100));

const LISTS: Readonly<Record<string, string>> = {
  'concat.mp4': `ffconcat version 1.0\nfile '${canary}'\n`,
  'concat-words.mp4': `ffconcat version 1.0\nfile '${words}'\n`,
  'hls.mp4': `#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n${canary}\n#EXT-X-ENDLIST\n`,
  'hls-words.m3u8': `#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://${words}\n#EXT-X-ENDLIST\n`,
  'hls-web.mp4': '#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:1/a.ts\n#EXT-X-ENDLIST\n',
  'dash.mp4': `<?xml version="1.0"?><MPD type="static" mediaPresentationDuration="PT1S"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1"><BaseURL>file://${canary}</BaseURL></Representation></AdaptationSet></Period></MPD>`,
  'session.sdp': 'v=0\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n',
  'pictures-%d.mp4': 'no pictures',
  'subtitles.mp4': `[Script Info]\n; ${words}\n`,
};
for (const [name, text] of Object.entries(LISTS)) writeFileSync(at(name), text);

const { sandbox } = await findSandbox('auto', programs(), found => answersIn(tools.ffmpeg, '-version', found));

async function refusalOf(decoder: Decoder, uri: string): Promise<TroupeError> {
  try {
    await decoder.probe(await resolveSource(uri, [root]), AbortSignal.timeout(10_000));
  } catch (error) {
    if (error instanceof TroupeError) return error;
    throw error;
  }
  throw new Error(`${uri} was read`);
}

// The whitelists have to do without a sandbox too.
for (const level of new Set([NO_SANDBOX, sandbox])) {
  test(`M1: playlists and lists named as videos read no other file, in ${level.level}`, async () => {
    const decoder = await ffmpegDecoder(inSandbox(tools, level));
    for (const name of Object.keys(LISTS)) {
      const { code, message } = await refusalOf(decoder, at(name));
      assert.is(code, 'source_unreadable', name);
      assert.not.match(message, 'CANARY', name);
    }
  });
}

test('S1: links that lead out, devices, pipes, folders and descriptors are refused before a program sees them', async () => {
  symlinkSync(words, at('link.mp4'));
  symlinkSync('/dev/zero', at('zero.mp4'));
  symlinkSync('/proc/self/fd/0', at('descriptor.mp4'));
  symlinkSync('loop.mp4', at('loop.mp4'));
  execFileSync('mkfifo', [at('pipe.mp4')]);
  mkdirSync(at('folder.mp4'));
  const decoder = await ffmpegDecoder(tools);
  for (const [uri, code] of [
    [at('link.mp4'), 'source_not_allowed'],
    [at('zero.mp4'), 'source_not_allowed'],
    [at('descriptor.mp4'), 'source_not_allowed'],
    ['/proc/self/fd/0', 'source_not_allowed'],
    [`/proc/self/root${words}`, 'source_not_allowed'],
    ['/dev/zero', 'source_not_allowed'],
    [`${root}/../canary.ts`, 'source_not_allowed'],
    [at('loop.mp4'), 'source_unreadable'],
    [at('pipe.mp4'), 'source_unreadable'],
    [at('folder.mp4'), 'source_unreadable'],
    [`concat:${canary}`, 'source_not_allowed'],
    [`subfile,,start,0,end,0,,:${canary}`, 'source_not_allowed'],
    [`http://127.0.0.1:1/a.mp4`, 'not_supported_yet'],
  ] as const) {
    assert.is((await refusalOf(decoder, uri)).code, code, uri);
  }
});

test('M1, M4: names with a dash, line ends, quotes, percents and colons are names and nothing else', async () => {
  for (const level of new Set([NO_SANDBOX, sandbox])) {
    const decoder = await ffmpegDecoder(inSandbox(tools, level));
    for (const name of ['-i', '--help', 'two\nlines.ts', 'a\'b"c.ts', '%d.ts', 'pipe:0', '-vf;$(id).ts', ' ']) {
      CLIPS['transport.ts']?.(at('clip.ts'));
      rmSync(at(name), { force: true });
      linkSync(at('clip.ts'), at(name));
      const { width } = await decoder.probe(await resolveSource(at(name), [root]), AbortSignal.timeout(10_000));
      assert.is(width, 96, name);
    }
  }
});

test.run();
