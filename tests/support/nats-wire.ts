/** NATS as bytes over TCP, as anybody may speak it: no client that would refuse, mend or add something. */
import { connect } from 'node:net';

/** @param reply where an answer goes to; '' for nowhere */
export function pub(subject: string | Buffer, body: string | Buffer, reply = ''): Buffer {
  const bytes = Buffer.from(body);
  const line = Buffer.concat([Buffer.from('PUB '), Buffer.from(subject), Buffer.from(` ${reply} ${bytes.length}\r\n`)]);
  return Buffer.concat([line, bytes, Buffer.from('\r\n')]);
}

/** @param head the header block with both its ends, whatever it is */
export function hpub(subject: string, head: string | Buffer, body: string): Buffer {
  const [headers, bytes] = [Buffer.from(head), Buffer.from(body)];
  const line = `HPUB ${subject} ${headers.length} ${headers.length + bytes.length}\r\n`;
  return Buffer.concat([Buffer.from(line), headers, bytes, Buffer.from('\r\n')]);
}

/** Says it on a connection of its own. @returns what the server said until it had read everything, or what and `hung up` */
export function speak(url: string, ...frames: readonly Buffer[]): Promise<string> {
  const { hostname, port } = new URL(url);
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let said = '';
  const socket = connect(Number(port), hostname);
  const done = (end: string): void => {
    socket.destroy();
    resolve(said.replace(/^INFO .*\r\n/, '') + end);
  };
  socket.setTimeout(30_000, () => reject(new Error(`the server says nothing after: ${said}`)));
  // What the server said last is lost when it hangs up on somebody who is still sending.
  socket.on('error', () => done('hung up'));
  socket.on('close', () => done('hung up'));
  socket.on('data', bytes => {
    said += bytes.toString();
    if (said.endsWith('PONG\r\n')) done('');
  });
  socket.write(Buffer.concat([Buffer.from('CONNECT {"verbose":false,"headers":true}\r\n'), ...frames]));
  socket.write('PING\r\n');
  return promise;
}
