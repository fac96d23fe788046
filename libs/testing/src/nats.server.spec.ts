import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { startNats, type TestNats } from './nats.server.js';

describe('TestNats', () => {
  let nats: TestNats;
  beforeAll(async () => (nats = await startNats()));
  afterAll(async () => await nats.stop());

  it('keeps port and store when it is killed and started again', async () => {
    const before = await nats.connect();
    await (await jetstreamManager(before)).streams.add({ name: 'KEPT', subjects: ['kept'] });
    await jetstream(before).publish('kept', 'one');
    await before.close();
    const { url, pid } = nats;
    await nats.kill();
    await expect(nats.connect({ reconnect: false, timeout: 500 })).rejects.toThrow();
    await nats.restart();
    expect(nats.url).toBe(url);
    expect(nats.pid).not.toBe(pid);
    const after = await nats.connect();
    expect((await (await jetstreamManager(after)).streams.info('KEPT')).state.messages).toBe(1);
    await after.close();
    await nats.restartEmpty();
    const empty = await nats.connect();
    await expect((await jetstreamManager(empty)).streams.info('KEPT')).rejects.toThrow('stream not found');
    await empty.close();
  });

  it('takes a configuration with users', async () => {
    const config =
      'authorization { users = [ { user: "a", password: "b", permissions: { publish: "x" } } ] }';
    const guarded = await startNats({ config });
    try {
      await expect(guarded.connect({ reconnect: false })).rejects.toThrow(/auth/i);
      await (await guarded.connect({ user: 'a', pass: 'b' })).close();
    } finally {
      await guarded.stop();
    }
    expect(existsSync(guarded.storeDir)).toBe(false);
  });
});
