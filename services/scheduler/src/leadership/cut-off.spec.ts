import { beforeEach, describe, expect, it } from '@jest/globals';
import type { ConnectionState } from '#libs/messaging';
import { createLogger } from '#libs/telemetry';
import { VirtualClock } from '#libs/testing';
import { resignWhenCutOff } from './cut-off.js';
import type { Leadership } from './leadership.js';

/** A connection that a test breaks and mends. */
class Connection {
  private readonly listeners = new Set<(state: ConnectionState) => void>();
  private state: ConnectionState = 'connected';

  isConnected(): boolean {
    return this.state === 'connected';
  }
  onStatus(listener: (state: ConnectionState) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
  becomes(state: ConnectionState): void {
    this.state = state;
    for (const listener of this.listeners) listener(state);
  }
}

describe('a leader that is cut off from the broker', () => {
  let clock: VirtualClock;
  let connection: Connection;
  let leads: boolean;
  let told: string[];

  beforeEach(() => {
    clock = new VirtualClock();
    connection = new Connection();
    leads = true;
    told = [];
    const leadership: Leadership = {
      lead: () => Promise.reject(new Error('not used')),
      current: () => (leads ? { term: 1, sinceMonotonicMs: 0 } : null),
      guard: () => Promise.resolve(),
      onLost: () => undefined,
      lose: () => undefined,
      resign: () => {
        leads = false;
        told.push('resigned');
        return Promise.resolve();
      },
    };
    resignWhenCutOff({
      ...{ messaging: connection, leadership, clock, patienceMs: 3000 },
      logger: createLogger({ service: 'scheduler', level: 'silent' }),
      onResigned: (reason) => told.push(reason),
    });
  });

  it('gives up after its patience, and not before', async () => {
    connection.becomes('disconnected');
    await clock.advance(2999);
    expect(told).toEqual([]);
    await clock.advance(1);
    expect(told).toEqual(['resigned', 'NATS is out of reach']);
  });

  it('stays when it is back in time, however often', async () => {
    for (let n = 0; n < 5; n += 1) {
      connection.becomes('disconnected');
      await clock.advance(2900);
      connection.becomes('connected');
      await clock.advance(200);
    }
    await clock.advance(60_000);
    expect(told).toEqual([]);
  });

  it('has nothing to give up once another leads', async () => {
    connection.becomes('disconnected');
    leads = false;
    await clock.advance(60_000);
    expect(told).toEqual([]);
  });

  it('is not meant by a connection that was closed in order', async () => {
    connection.becomes('disconnected');
    connection.becomes('closed');
    await clock.advance(60_000);
    expect(told).toEqual([]);
  });
});
