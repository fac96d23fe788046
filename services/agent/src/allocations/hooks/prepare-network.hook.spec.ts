import { describe, expect, it } from '@jest/globals';
import { VirtualClock } from '#libs/testing';
import { DriverError } from '../../drivers/driver.js';
import { SimulatedDriver } from '../../drivers/simulated/simulated.driver.js';
import { RecordedContext } from '../../testing/hook.context.js';
import { PrepareNetworkHook } from './prepare-network.hook.js';

describe('PrepareNetworkHook', () => {
  it('has the driver do its step, again and again', async () => {
    const steps: string[] = [];
    const driver = Object.assign(new SimulatedDriver({ host: 'h' }), {
      prepare: async (step: string): Promise<void> => {
        steps.push(step);
      },
    });
    const hook = new PrepareNetworkHook(driver, new VirtualClock());
    await hook.run(new RecordedContext());
    await hook.run(new RecordedContext());
    expect(steps).toEqual(['network', 'network']);
    expect(hook.lasting).toBe(true);
  });

  it('says why it cannot', async () => {
    const driver = Object.assign(new SimulatedDriver({ host: 'h' }), {
      prepare: async (): Promise<void> => {
        throw new DriverError('no-capacity', 'no address is left', false);
      },
    });
    const running = new PrepareNetworkHook(driver, new VirtualClock()).run(new RecordedContext());
    await expect(running).rejects.toMatchObject({ reason: 'start-failed', detail: 'no address is left' });
  });
});
