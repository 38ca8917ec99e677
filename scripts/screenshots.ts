/**
 * `npm run screenshots`: makes the pictures of README anew, in docs/images/: the recording of a first run, and the page
 * at /docs of a real node. Their size, language and time zone are fixed.
 */
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { nodeConfig } from '../src/infra/config.ts';
import { asset, root } from '../src/infra/process/assets.ts';
import { startNode } from '../src/system.ts';
import { recordFirstRun } from './record-terminal.ts';
import { findBrowser, HeadlessBrowser } from './swagger-page.ts';

const images = asset('docs', 'images');

async function photographDocs(): Promise<void> {
  const found = await findBrowser();
  if ('none' in found) throw new Error(found.none);
  const data = mkdtempSync(path.join(tmpdir(), 'troupe-screenshots-'));
  try {
    const config = nodeConfig({ data, port: '0', root: [root] }, { env: {}, cwd: root });
    const node = await startNode(config, () => {});
    try {
      // The pictures show the usual port, whatever this node has.
      await using browser = await HeadlessBrowser.start(found.file, ['localhost:8080', new URL(node.url).host]);
      const docs = await browser.openDocs('http://localhost:8080/docs');
      await docs.picture(path.join(images, 'swagger-operations.png'));
      await docs.execute('createScenario');
      await docs.execute('getScenario');
      await docs.execute('listPredictions', { limit: '1' });
      await docs.pictureOf('listPredictions', path.join(images, 'swagger-predictions.png'));
    } finally {
      await node.stop();
    }
  } finally {
    rmSync(data, { recursive: true, force: true });
  }
}

mkdirSync(images, { recursive: true });
writeFileSync(path.join(images, 'first-run.svg'), await recordFirstRun());
await photographDocs();
for (const name of ['first-run.svg', 'swagger-operations.png', 'swagger-predictions.png'])
  process.stdout.write(`docs/images/${name}: ${Math.ceil(statSync(path.join(images, name)).size / 1024)} KiB\n`);
process.exit(0);
