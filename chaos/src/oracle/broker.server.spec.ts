import { afterEach, describe, expect, it } from '@jest/globals';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SystemClock } from '#libs/clock';
import { waitFor } from '#libs/testing';
import { BrokerServer } from './broker.server.js';
import type { Overlap } from './order.oracle.js';

const order = (epoch: number, number = 1): string =>
  `${JSON.stringify({
    ...{
      account: 'acc',
      epoch,
      allocation: `allocation-${epoch}`,
      instance: 'aaaaaaaaaaaaaaaa',
      order: number,
    },
    boottimeMs: new SystemClock().boottimeMs(),
  })}\n`;

describe('BrokerServer', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tradefleet-broker-'));
  const ordersFile = join(folder, 'orders.jsonl');
  const overlaps: Overlap[] = [];
  let broker: BrokerServer | null = null;
  const sockets: Socket[] = [];

  const start = async () => {
    const options = { host: '127.0.0.1', port: 0, ordersFile, onOverlap: (o: Overlap) => overlaps.push(o) };
    broker = await BrokerServer.start(options, new SystemClock());
    return broker;
  };
  const client = (to: BrokerServer) => {
    const socket = connect({ host: '127.0.0.1', port: to.port });
    const answers: string[] = [];
    socket.setEncoding('utf8').on('data', (text: string) => answers.push(...text.trim().split('\n')));
    socket.on('error', () => undefined);
    sockets.push(socket);
    return { socket, answers };
  };

  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    await broker?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('answers each order, in pieces or many at once, and reports an overlap of two connections', async () => {
    const server = await start();
    const [one, other] = [client(server), client(server)];
    one.socket.write(order(1, 1) + order(1, 2));
    await waitFor(() => one.answers.length === 2);
    expect(one.answers.map((text) => (JSON.parse(text) as { order: number }).order)).toEqual([1, 2]);
    const text = order(2);
    other.socket.write(text.slice(0, 10));
    other.socket.write(text.slice(10));
    await waitFor(() => other.answers.length === 1);
    expect(overlaps).toEqual([]);
    one.socket.write(order(1, 3));
    await waitFor(() => overlaps.length === 1);
    expect(overlaps[0]).toMatchObject({ kind: 'older-epoch', account: 'acc' });
    one.socket.write('not an order\n');
    await waitFor(() => server.malformed === 1);
    await server.stop();
    broker = null;
    const lines = readFileSync(ordersFile, 'utf8').trim().split('\n');
    expect(lines).toHaveLength(4);
    expect(JSON.parse(lines[3] ?? '')).toMatchObject({ epoch: 1, overlap: 'older-epoch' });
  });
});
