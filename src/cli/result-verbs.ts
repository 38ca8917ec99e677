/** The verbs about results: write them out, and check what was written. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Client } from './client.ts';
import { saveExport } from './save-export.ts';
import { json, plain } from './terminal.ts';
import { type Call, option, REACHING, type Verb } from './verb.ts';
import { readManifest, verifyFile } from './verify.ts';

const FORMATS = ['jsonl', 'csv', 'coco'] as const;

export const exportResults: Verb = {
  usage: 'export <id>',
  says: 'write the results to stdout or a file',
  options: [
    option('--format <format>', 'their form (jsonl)', FORMATS),
    option('--run <n>', 'of this run (the latest)'),
    option('--out <file>', 'a file, which appears when it is whole, its manifest beside it (stdout)'),
    ...REACHING,
  ],
  examples: [
    'export cam1 > cam1.jsonl',
    "export cam1 | jq -c '.detections[]'",
    'export cam1 --format csv --out cam1.csv',
    'export cam1 --run 1 --out first.jsonl',
  ],
  goesOn: (id, at) =>
    `the export of ${id} is not whole. Again, whole or not at all: troupe export ${id} --out FILE${at}`,
  async act(call) {
    const { format = 'jsonl', run, out } = call.given;
    const client = call.client();
    if (out === undefined) {
      await pipeline(Readable.from(wholeLines(client.export(call.id, format, run), call)), process.stdout, {
        end: false,
      });
      call.signal.throwIfAborted();
      return 0;
    }
    const { frames } = await saveExport(client, call.id, { out, format, run });
    return plain(`${out}: ${frames === null ? format : `${frames} frames`}`);
  },
};

/** Ends at the end of a line when it is interrupted. */
async function* wholeLines(chunks: AsyncIterable<Uint8Array>, call: Call): AsyncIterable<Uint8Array> {
  let rest = Buffer.alloc(0);
  try {
    for await (const chunk of chunks) {
      const all = Buffer.concat([rest, chunk]);
      const end = all.lastIndexOf(0x0a) + 1;
      if (end > 0) yield all.subarray(0, end);
      rest = all.subarray(end);
    }
  } catch (error) {
    if (call.signal.aborted) return;
    throw error;
  }
  if (rest.length > 0) yield rest;
}

export const verify: Verb = {
  usage: 'verify <file>',
  says: 'check a JSONL export against its manifest: every frame once and in order, and the digest of its bytes',
  options: [
    option('--manifest <file|url>', 'its manifest (<file>.manifest.json, which run and export --out leave there)'),
    option('--id <id>', 'take the manifest of this scenario from a node'),
    option('--run <n>', 'of this run, with --id (the latest)'),
    option('--json', 'print what was found as JSON'),
    ...REACHING,
  ],
  examples: [
    'verify video.mp4.predictions.jsonl',
    'verify cam1.jsonl --id cam1',
    'verify cam1.jsonl --manifest http://10.0.0.1:8080/api/v1/scenarios/cam1/manifest',
  ],
  async act(call) {
    const { manifest, id, run } = call.given;
    const client = (): Client => call.client();
    const wanted = await readManifest(call.id, { manifest, id, run }, client, call.signal);
    const found = await verifyFile(call.id, wanted, call.signal);
    if (call.given.json === true) process.stdout.write(`${json(found)}\n`);
    else if (found.ok) process.stdout.write(`${plain(found.text)}\n`);
    if (!found.ok) process.stderr.write(`troupe: ${plain(found.text)}\n`);
    return found.ok ? 0 : 1;
  },
};
