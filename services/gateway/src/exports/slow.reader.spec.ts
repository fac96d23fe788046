import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { VirtualClock, waitFor } from '#libs/testing';
import { createServer, get, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ReaderStalled, SlowReader } from './slow.reader.js';

describe('SlowReader', () => {
  let server: Server;
  let response: ServerResponse;
  let client: IncomingMessage;
  const clock = new VirtualClock();

  beforeEach(async () => {
    const asked = new Promise<ServerResponse>((resolve) => {
      server = createServer((_, raw) => resolve(raw.writeHead(200)));
    });
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    const { port } = server.address() as AddressInfo;
    const answered = new Promise<IncomingMessage>((got) => get(`http://127.0.0.1:${port}`, got));
    response = await asked;
    response.flushHeaders();
    client = await answered;
    client.pause();
    client.on('error', () => undefined);
  });
  afterEach(async () => {
    server.closeAllConnections();
    await new Promise((closed) => server.close(closed));
  });

  const never = new AbortController().signal;
  const large = 'x'.repeat(32 * 1024 * 1024);

  it('waits until there is room', async () => {
    const reader = new SlowReader(response, clock, 1000);
    await reader.write('small', never);
    let isWritten = false;
    const writing = reader.write(large, never).then(() => (isWritten = true));
    await waitFor(() => client.readableLength > 0);
    expect(isWritten).toBe(false);
    client.resume();
    await writing;
  });

  it('gives up who takes nothing for too long', async () => {
    const writing = new SlowReader(response, clock, 1000).write(large, never);
    const failed = expect(writing).rejects.toThrow(ReaderStalled);
    await clock.advance(999);
    await clock.advance(1);
    await failed;
  });

  it('ends with why it was aborted', async () => {
    const ended = new AbortController();
    const reader = new SlowReader(response, clock, 1000);
    const failed = expect(reader.write(large, ended.signal)).rejects.toThrow('it is over');
    ended.abort(new Error('it is over'));
    await failed;
    await expect(reader.write('more', ended.signal)).rejects.toThrow('it is over');
  });

  it('says its last words and leaves the answer unfinished', async () => {
    let text = '';
    const cut = new Promise((resolve) => client.once('error', resolve));
    client.on('data', (chunk: Buffer) => (text += chunk.toString())).resume();
    await new SlowReader(response, clock, 1000).cut('last words');
    expect(await cut).toMatchObject({ code: 'ECONNRESET' });
    expect(text).toBe('last words');
    expect(client.complete).toBe(false);
  });
});
