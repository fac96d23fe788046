import { describe, expect, it } from '@jest/globals';
import { VirtualClock } from '#libs/testing';
import { DriverError } from '../../drivers/driver.js';
import { SimulatedDriver } from '../../drivers/simulated/simulated.driver.js';
import { RecordedContext } from '../../testing/hook.context.js';
import { CreateContainerHook } from './create-container.hook.js';

describe('CreateContainerHook', () => {
  it('has the driver do its step, again and again', async () => {
    const steps: string[] = [];
    const driver = Object.assign(new SimulatedDriver({ host: 'h' }), {
      prepare: async (step: string): Promise<void> => {
        steps.push(step);
      },
    });
    const hook = new CreateContainerHook(driver, new VirtualClock());
    await hook.run(new RecordedContext());
    await hook.run(new RecordedContext());
    expect(steps).toEqual(['create', 'create']);
    expect(hook.lasting).toBe(true);
  });

  it('says why it cannot', async () => {
    const driver = Object.assign(new SimulatedDriver({ host: 'h' }), {
      prepare: async (): Promise<void> => {
        throw new DriverError('no-capacity', 'no address is left', false);
      },
    });
    const running = new CreateContainerHook(driver, new VirtualClock()).run(new RecordedContext());
    await expect(running).rejects.toMatchObject({ reason: 'start-failed', detail: 'no address is left' });
  });
});
