import { describe, expect, it } from '@jest/globals';
import { createLogger } from '#libs/telemetry';
import { VirtualClock } from '#libs/testing';
import { SimulatedDriver } from '../../drivers/simulated/simulated.driver.js';
import { SimulatedEngine } from '../../drivers/simulated/simulated.engine.js';
import { HeartbeatSignal } from '../../heartbeats/heartbeat.signal.js';
import { LeaseKeeper } from '../../leases/lease-keeper.js';
import { RecordedContext } from '../../testing/hook.context.js';
import { StartContainerHook, lease_wait_ms_max } from './start-container.hook.js';

describe('StartContainerHook', () => {
  const make = () => {
    const clock = new VirtualClock();
    const engine = new SimulatedEngine();
    const behaviour = () => ({ start_ms: 1, stop_ms: 1, obeysSigterm: true, startFault: null, exit: null });
    const context = new RecordedContext();
    const driver = new SimulatedDriver({ host: context.task.host, engine, behaviour }, clock);
    const leases = new LeaseKeeper(
      clock,
      new HeartbeatSignal(),
      createLogger({ service: 'agent', level: 'silent' }),
    );
    const { id, epoch } = context.record;
    leases.hold({ allocation: id, epoch, renewed: async () => undefined, ended: () => undefined });
    return { clock, engine, context, driver, leases, hook: new StartContainerHook(driver, leases, clock) };
  };

  it('starts nothing before there is a lease, and the container knows it first', async () => {
    const { clock, engine, context, driver, leases, hook } = make();
    await driver.prepare('create', context.task);
    const running = hook.run(context);
    await clock.advance(5000);
    expect(engine.ofHost(context.task.host)[0]?.state).toBe('created');
    expect(context.leasesPublished).toBe(0);

    await leases.renew(context.record.id, context.record.epoch, clock.boottimeMs() + 15_000);
    await clock.advance(10);
    await running;
    expect(context.leasesPublished).toBe(1);
    expect(context.handles).toHaveLength(1);
    expect(engine.ofHost(context.task.host)[0]?.state).toBe('running');
  });

  it('gives up when no lease comes', async () => {
    const { clock, engine, context, driver, hook } = make();
    await driver.prepare('create', context.task);
    const outcome = expect(hook.run(context)).rejects.toMatchObject({ reason: 'lease-ended' });
    await clock.advance(lease_wait_ms_max);
    await outcome;
    expect(engine.ofHost(context.task.host)[0]?.state).toBe('created');
  });

  it('starts a container once however often it is repeated', async () => {
    const { clock, engine, context, driver, leases, hook } = make();
    await driver.prepare('create', context.task);
    await leases.renew(context.record.id, context.record.epoch, clock.boottimeMs() + 15_000);
    for (let i = 0; i < 2; i += 1) {
      const running = hook.run(context);
      await clock.advance(10);
      await running;
    }
    expect(engine.ofHost(context.task.host)[0]?.attempts).toBe(1);
  });
});
