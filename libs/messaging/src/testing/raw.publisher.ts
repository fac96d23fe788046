import { connect } from 'node:net';
import { waitFor } from '#libs/testing';

/** Publishes what no library would send: the lines of the headers as they are, each ended by CR LF. Returns when it is taken. */
export async function publishRaw(url: string, subject: string, lines: string, body: string): Promise<void> {
  const { hostname, port } = new URL(url);
  const head = Buffer.from(`NATS/1.0\r\n${lines}\r\n`, 'utf8');
  const message = Buffer.concat([head, Buffer.from(body, 'utf8')]);
  const socket = connect(Number(port), hostname);
  try {
    let answers = '';
    socket.on('data', (bytes) => (answers += bytes.toString('utf8')));
    socket.write('CONNECT {"verbose":false,"headers":true}\r\n');
    socket.write(`HPUB ${subject} ${head.length} ${message.length}\r\n`);
    socket.write(Buffer.concat([message, Buffer.from('\r\nPING\r\n')]));
    await waitFor(() => answers.includes('PONG'), { what: 'the server to take the message' });
  } finally {
    socket.destroy();
  }
}
