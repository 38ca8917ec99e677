/** A server that answers as a test wants it to, where a command expects a node. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface ScriptedNode extends AsyncDisposable {
  readonly url: string;
  /** `METHOD /path` of every request so far. */
  readonly asked: readonly string[];
}

export async function scriptedNode(
  answer: (response: ServerResponse, request: IncomingMessage) => void,
): Promise<ScriptedNode> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    answer(response, request);
  }).listen(0, '127.0.0.1');
  await new Promise(resolve => server.once('listening', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise(resolve => server.close(resolve));
    },
  };
}
