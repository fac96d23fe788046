import { describe, expect, it } from '@jest/globals';
import { VirtualClock } from '#libs/testing';
import { DriverError, type Driver } from '../../drivers/driver.js';
import { SimulatedDriver } from '../../drivers/simulated/simulated.driver.js';
import { RecordedContext } from '../../testing/hook.context.js';
import { PrepareImageHook } from './prepare-image.hook.js';

/** A driver whose image step fails as told, then works. */
function failing(faults: DriverError[]): Driver & { steps: string[] } {
  const steps: string[] = [];
  const driver = new SimulatedDriver({ host: 'h' });
  return Object.assign(driver, {
    steps,
    prepare: async (step: string): Promise<void> => {
      steps.push(step);
      const fault = faults.shift();
      if (fault !== undefined) throw fault;
    },
  });
}

describe('PrepareImageHook', () => {
  it('has the driver bring the image, again and again', async () => {
    const driver = failing([]);
    const hook = new PrepareImageHook(driver, new VirtualClock());
    await hook.run(new RecordedContext());
    await hook.run(new RecordedContext());
    expect(driver.steps).toEqual(['image', 'image']);
  });

  it('tries again what may succeed later', async () => {
    const clock = new VirtualClock();
    const driver = failing([
      new DriverError('engine-unavailable', 'no answer', true),
      new DriverError('engine-timeout', 'no answer', true),
    ]);
    const running = new PrepareImageHook(driver, clock).run(new RecordedContext());
    await clock.advance(10_000);
    await running;
    expect(driver.steps).toHaveLength(3);
  });

  it('gives up after a few tries', async () => {
    const clock = new VirtualClock();
    const driver = failing(
      Array.from({ length: 9 }, () => new DriverError('engine-timeout', 'no answer', true)),
    );
    const running = new PrepareImageHook(driver, clock).run(new RecordedContext());
    const outcome = expect(running).rejects.toMatchObject({ reason: 'start-failed', detail: 'no answer' });
    await clock.advance(60_000);
    await outcome;
    expect(driver.steps).toHaveLength(4);
  });

  it('says at once that there is no image', async () => {
    const driver = failing([new DriverError('image-missing', 'paper has no image', false)]);
    const running = new PrepareImageHook(driver, new VirtualClock()).run(new RecordedContext());
    await expect(running).rejects.toMatchObject({ reason: 'image-missing' });
    expect(driver.steps).toHaveLength(1);
  });

  it('leaves off between two tries when the allocation is to end', async () => {
    const clock = new VirtualClock();
    const context = new RecordedContext();
    const driver = failing(
      Array.from({ length: 9 }, () => new DriverError('engine-timeout', 'no answer', true)),
    );
    const running = new PrepareImageHook(driver, clock).run(context);
    const outcome = expect(running).rejects.toMatchObject({ name: 'AbortError' });
    await clock.advance(100);
    context.abort.abort();
    await outcome;
    expect(driver.steps).toHaveLength(1);
  });
});
