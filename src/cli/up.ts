/**
 * `troupe up`: a node until it is told to end.
 *
 * U1 The ready line comes once, on stdout, when the node serves; everything else goes to stderr.
 * U3 The log is lines of text, or with `--log json` one object a line: `at`, `node`, `message`, and of a request its id, method, path,
 *    status, ms and trace.
 * U2 SIGTERM or SIGINT drains and exits 0, also when it comes while the node starts.
 */
import { once } from 'node:events';
import { type Flags, nodeConfig } from '../infra/config.ts';
import { startNode } from '../system.ts';
import { plain } from './terminal.ts';

/** @returns the exit code */
export async function up(flags: Flags, interrupted: AbortSignal): Promise<number> {
  const config = nodeConfig(flags);
  const log = (line: string, fields: Readonly<Record<string, string | number>> = {}): void => {
    const text = line.split('\n').map(plain).join('\n');
    const told = { at: new Date().toISOString(), node: config.node, message: text, ...fields };
    process.stderr.write(`${config.log === 'json' ? JSON.stringify(told) : text}\n`);
  };
  const node = await startNode(config, log);
  // U1; a node without the role api serves no HTTP
  if (!interrupted.aborted)
    process.stdout.write(`${['troupe ready', node.url, node.natsUrl].filter(Boolean).join(' ')}\n`);
  const asked = interrupted.aborted ? null : once(interrupted, 'abort');
  const ended = await Promise.race([node.stopped, asked]);
  if (ended !== null && 'reason' in ended) {
    log(`troupe: the node ended: ${ended.reason}`);
    return 1;
  }
  await node.stop();
  return 0;
}
