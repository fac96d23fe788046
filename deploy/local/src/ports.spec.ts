import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { choosePorts } from './ports.js';

describe('choosePorts', () => {
  let folder: string;
  let path: string;
  const servers: Server[] = [];
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tradefleet-ports-'));
    path = join(folder, 'ports.json');
  });
  afterEach(async () => {
    rmSync(folder, { recursive: true });
    await Promise.all(servers.splice(0).map((server) => new Promise((closed) => server.close(closed))));
  });

  const take = (port: number) =>
    new Promise<void>((resolve, reject) => {
      const server = createServer();
      server.once('error', reject);
      server.listen({ host: '127.0.0.1', port }, () => {
        servers.push(server);
        resolve();
      });
    });

  it('never gives one port to two', async () => {
    for (let run = 0; run < 50; run += 1) {
      const ports = Object.values(await choosePorts(join(folder, String(run)), {}));
      expect(new Set(ports).size).toBe(3);
    }
  });

  it('keeps the ports of the last run, and replaces the one that is taken', async () => {
    const first = await choosePorts(path, {});
    expect(await choosePorts(path, {})).toEqual(first);
    await take(first.nats);
    const next = await choosePorts(path, {});
    expect(next).toEqual({ ...first, nats: next.nats });
    expect(next.nats).not.toBe(first.nats);
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual(next);
  });

  it('takes the wanted ones, also from what another had before', async () => {
    const first = await choosePorts(path, {});
    const next = await choosePorts(path, { gateway: first.nats });
    expect(next.gateway).toBe(first.nats);
    expect(new Set(Object.values(next)).size).toBe(3);
  });

  it('says so when a wanted one is taken, and forgets nothing', async () => {
    const first = await choosePorts(path, {});
    await take(first.postgres);
    await expect(choosePorts(path, { postgres: first.postgres })).rejects.toThrow('--postgres-port');
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual(first);
  });

  it('goes on with free ones when the file cannot be used', async () => {
    writeFileSync(path, '{"gateway":');
    expect(new Set(Object.values(await choosePorts(path, {}))).size).toBe(3);
  });
});
