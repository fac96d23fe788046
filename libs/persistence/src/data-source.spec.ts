import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { createDataSource } from './data-source.js';

/** A message of the server, by its letter. */
function message(letter: string, body: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(body.length + 4);
  return Buffer.concat([Buffer.from(letter), length, body]);
}

const letIn = Buffer.concat([message('R', Buffer.alloc(4)), message('Z', Buffer.from('I'))]);
/** What every session of a Postgres says whose main process was killed. */
const goodbye = message(
  'E',
  Buffer.from('SFATAL\0C57P01\0Mterminating connection due to unexpected postmaster exit\0\0'),
);

describe('a database that dies', () => {
  let server: Server;
  let connections: number;

  beforeEach(async () => {
    connections = 0;
    server = createServer((socket) => {
      connections += 1;
      socket.on('error', () => undefined);
      // One packet: a process that was held up meanwhile finds both at once.
      socket.once('data', () => socket.end(Buffer.concat([letIn, goodbye])));
    });
    await new Promise<void>((resolve) => server.listen({ host: '127.0.0.1', port: 0 }, resolve));
  });
  afterEach(async () => {
    await new Promise((resolve) => server.close(resolve));
  });

  it('right after it has let somebody in fails what was asked of it, and not the process', async () => {
    const { port } = server.address() as AddressInfo;
    const url = `postgres://nobody:p@127.0.0.1:${port}/nothing`;
    const dataSource = createDataSource({ url, schema: 'spec', applicationName: 'spec' });
    await expect(dataSource.initialize()).rejects.toThrow();
    expect(connections).toBeGreaterThan(1);
  });
});
