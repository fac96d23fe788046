import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { aStopCommand, startNats, waitFor, type TestNats } from '#libs/testing';
import { DriverError } from '../drivers/driver.js';
import { AgentFixture } from '../testing/agent.fixture.js';
import { FragileDriver, steps, type Step } from '../testing/fragile.driver.js';
import { RecordedContext } from '../testing/hook.context.js';
import type { AllocationHook } from './allocation.hook.js';
import { runHooks } from './allocation.hooks.js';

describe('running hooks', () => {
  const hook = (name: string, lasting: boolean, log: string[], fault?: Error): AllocationHook => ({
    name,
    lasting,
    run: async () => {
      log.push(name);
      if (fault !== undefined) throw fault;
    },
  });
  const memory = (done: string[]) => ({
    done: () => new Set(done),
    remember: async (name: string) => {
      done.push(name);
    },
  });

  it('keeps their order, remembers the lasting ones and leaves out what is done', async () => {
    const log: string[] = [];
    const done = ['b'];
    const hooks = [hook('a', true, log), hook('b', true, log), hook('c', false, log)];
    await runHooks(hooks, new RecordedContext(), memory(done));
    expect(log).toEqual(['a', 'c']);
    expect(done).toEqual(['b', 'a']);
  });

  it('ends with the first that cannot go on, which is not remembered', async () => {
    const log: string[] = [];
    const done: string[] = [];
    const hooks = [hook('a', true, log), hook('b', true, log, new Error('no')), hook('c', true, log)];
    await expect(runHooks(hooks, new RecordedContext(), memory(done))).rejects.toThrow('no');
    expect(log).toEqual(['a', 'b']);
    expect(done).toEqual(['a']);
  });

  it('begins no other once the allocation is to end', async () => {
    const log: string[] = [];
    const context = new RecordedContext();
    const stopping: AllocationHook = { ...hook('a', true, log), run: async () => context.abort.abort() };
    await expect(runHooks([stopping, hook('b', true, log)], context, memory([]))).rejects.toMatchObject({
      name: 'AbortError',
    });
    expect(log).toEqual([]);
  });
});

describe('the way to a running bot', () => {
  let nats: TestNats;
  let fixture: AgentFixture;

  beforeAll(async () => {
    nats = await startNats();
  });
  afterAll(async () => {
    await nats.stop();
  });
  beforeEach(async () => {
    fixture = await AgentFixture.make(nats.url);
  });
  afterEach(async () => {
    await fixture.close();
  });

  const everyCrash = steps.flatMap((step) => [[step, 'before'] as const, [step, 'after'] as const]);

  it.each<readonly [Step, 'before' | 'after']>(everyCrash)(
    'comes to one container that was started once when the agent is killed at the step %s, %s it',
    async (step, when) => {
      const fragile = new FragileDriver(fixture.driver(), { kind: 'crash', step, when });
      await fixture.start({}, fragile.proxy);
      const command = fixture.command();
      await fixture.scheduler.send(command);
      await waitFor(() => fragile.crashed, { what: 'the crash' });
      await fixture.crash();

      await fixture.start();
      await fixture.scheduler.heard(command.allocation, 'running');
      const tasks = fixture.engine.ofHost(fixture.host);
      expect(tasks.map(({ state, attempts }) => ({ state, attempts }))).toEqual([
        { state: 'running', attempts: 1 },
      ]);
      expect(fixture.scheduler.told(command.allocation).filter((what) => what === 'running')).toHaveLength(1);
      expect(await fixture.files(command.allocation)).not.toContain('credentials.json');
    },
  );

  it.each<readonly [Step, 'before' | 'after']>(everyCrash)(
    'leaves nothing when the agent is killed at the step %s, %s it, and the bot is stopped meanwhile',
    async (step, when) => {
      const fragile = new FragileDriver(fixture.driver(), { kind: 'crash', step, when });
      await fixture.start({}, fragile.proxy);
      const command = fixture.command();
      const { account, allocation, epoch } = command;
      await fixture.scheduler.send(command);
      await waitFor(() => fragile.crashed, { what: 'the crash' });
      await fixture.crash();

      await fixture.scheduler.send(aStopCommand({ host: fixture.host, account, allocation, epoch }));
      await fixture.start();
      await fixture.scheduler.heard(allocation, 'stopped');
      await waitFor(async () => (await fixture.files(allocation)).length === 0);
      expect(fixture.engine.ofHost(fixture.host)).toHaveLength(0);
    },
  );

  it.each(steps)('leaves nothing and says why when the step %s fails', async (step) => {
    const error = new DriverError('engine-refused', 'the engine does not want to', false);
    const fragile = new FragileDriver(fixture.driver(), { kind: 'fault', step, error });
    await fixture.start({}, fragile.proxy);
    const command = fixture.command();
    await fixture.scheduler.send(command);
    expect(await fixture.scheduler.heard(command.allocation, 'failed')).toMatchObject({
      reason: 'start-failed',
      detail: 'the engine does not want to',
    });
    await waitFor(async () => (await fixture.files(command.allocation)).length === 0);
    expect(fixture.engine.ofHost(fixture.host)).toHaveLength(0);
  });

  it('comes to one container when every step is done twice', async () => {
    await fixture.start({}, new FragileDriver(fixture.driver(), { kind: 'twice' }).proxy);
    const command = fixture.command();
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(command.allocation, 'running');
    const tasks = fixture.engine.ofHost(fixture.host);
    expect(tasks.map(({ attempts }) => attempts)).toEqual([1]);
  });
});
