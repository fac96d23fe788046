import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Capacity } from '#libs/contracts';
import { createLogger } from '#libs/telemetry';
import { aCapacity, startNats, VirtualClock, waitFor, type TestNats } from '#libs/testing';
import type { Driver } from '../drivers/driver.js';
import { StartupFault } from '../errors.js';
import { HeartbeatSignal } from '../heartbeats/heartbeat.signal.js';
import { AgentFixture } from '../testing/agent.fixture.js';
import { CapacityWatch, CurrentAbility } from './capacity.watch.js';
import type { HostAbility } from './host-ability.js';

const abilityOf = (capacity: Capacity): HostAbility => ({
  driver: 'docker',
  runtimes: ['paper'],
  capacity,
  fingerprint: {
    kernel: 'Linux 6',
    arch: 'x64',
    engine: 'Docker Engine',
    agentVersion: '1',
    cpuMillis: 1,
    memoryMiB: 1,
    diskMiB: 1,
    diskFreeMiB: 1,
    reservation: { cpuMillis: 0, memoryMiB: 0 },
  },
});

describe('the capacity of a host', () => {
  it('is measured every minute; an engine that does not answer changes nothing, too little is nothing', async () => {
    const clock = new VirtualClock(Date.now());
    const ability = new CurrentAbility(abilityOf(aCapacity()));
    const answers: (() => Promise<HostAbility>)[] = [
      () => Promise.resolve(abilityOf(aCapacity())),
      () => Promise.reject(new Error('no engine')),
      () => Promise.resolve(abilityOf(aCapacity({ memoryMiB: 100 }))),
      () => Promise.reject(new StartupFault('The reservation leaves nothing for bots.')),
    ];
    const signal = new HeartbeatSignal();
    const called: number[] = [];
    signal.call = () => void called.push(clock.monotonicMs());
    const logger = createLogger({ service: 'test', level: 'silent' });
    const measure = (): Promise<HostAbility> => (answers.shift() ?? (() => Promise.reject(new Error())))();
    const watch = new CapacityWatch(ability, measure, signal, clock, logger);
    watch.start();
    const seen: Capacity[] = [];
    while (answers.length > 0) {
      const left = answers.length;
      await clock.advance(60_000);
      await waitFor(() => answers.length < left);
      await new Promise((resolve) => setImmediate(resolve));
      seen.push(ability.capacity);
    }
    await watch.close();
    expect(seen).toEqual([
      aCapacity(),
      aCapacity(),
      aCapacity({ memoryMiB: 100 }),
      { cpuMillis: 0, memoryMiB: 0, bots: 0 },
    ]);
    expect(called).toHaveLength(2);
  });
});

describe('an agent whose machine has shrunk', () => {
  let nats: TestNats;
  let agent: AgentFixture;
  beforeAll(async () => {
    nats = await startNats();
  });
  afterAll(async () => {
    await nats.stop();
  });
  beforeEach(async () => {
    agent = await AgentFixture.make(nats.url);
  });
  afterEach(async () => {
    await agent.close();
  });

  it('tells so with its next heartbeat', async () => {
    const driver = agent.driver();
    const measured = await driver.fingerprint();
    let memoryMiB = 5000;
    const shrinking = new Proxy<Driver>(driver, {
      get: (target, name) => {
        if (name === 'fingerprint')
          return () => Promise.resolve({ ...measured, capacity: { ...measured.capacity, memoryMiB } });
        const value: unknown = Reflect.get(target, name);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
    await agent.start({}, shrinking);
    await waitFor(() => agent.scheduler.heartbeats.at(-1)?.capacity.memoryMiB === 5000);
    memoryMiB = 700;
    await agent.part(CapacityWatch).look();
    await waitFor(() => agent.scheduler.heartbeats.at(-1)?.capacity.memoryMiB === 700);
  });
});
