import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { RestartPolicy, type StartCommand } from '#libs/contracts';
import { aStopCommand, startNats, waitFor, type TestNats } from '#libs/testing';
import type { Driver, TaskSpec } from '../drivers/driver.js';
import { AgentFixture, steady } from '../testing/agent.fixture.js';
import { FragileDriver } from '../testing/fragile.driver.js';
import { aStatus, say } from '../testing/writing.driver.js';

const soon = RestartPolicy.parse({
  attempts: 2,
  delayMs: 100,
  delayMaxMs: 100,
  jitter: 0,
  windowMs: 600_000,
});
/** So late that a test which does not end the wait does not end. */
const late = RestartPolicy.parse({ ...soon, delayMs: 600_000, delayMaxMs: 600_000, windowMs: 86_400_000 });
const crash = { after_ms: 20, exitCode: 70, outOfMemory: false };

describe('a bot that ends by itself', () => {
  let nats: TestNats;
  let fixture: AgentFixture;
  /** Containers that were started, all attempts of all bots. */
  let starts: TaskSpec[];

  beforeAll(async () => {
    nats = await startNats();
  });
  afterAll(async () => {
    await nats.stop();
  });
  beforeEach(async () => {
    fixture = await AgentFixture.make(nats.url);
    starts = [];
  });
  afterEach(async () => {
    await fixture.close();
  });

  /** Of the first `crashes` starts each ends by itself. */
  function crashing(crashes: number, exit: typeof crash = crash): Driver {
    return fixture.driver({
      behaviour: (task) => {
        starts.push(task);
        return starts.length <= crashes ? { ...steady, exit } : steady;
      },
    });
  }
  async function run(fields: Partial<StartCommand> = {}): Promise<StartCommand> {
    const command = fixture.command({ restart: soon, ...fields });
    await fixture.scheduler.send(command);
    return command;
  }
  const dataOf = (allocation: string, what: string) =>
    fixture.scheduler.events
      .filter((event) => event.entityId === allocation && event.what === what)
      .map(({ data }) => data);
  const heartbeatOf = (allocation: string) =>
    fixture.scheduler.heartbeats.at(-1)?.allocations.find(({ id }) => id === allocation);
  const tasks = () => fixture.engine.ofHost(fixture.host);
  const crashNow = () => tasks()[0]?.end({ exitCode: 70, outOfMemory: false, unknown: false });
  const untilRuns = async (allocation: string, attempt: number) =>
    await waitFor(
      () => dataOf(allocation, 'running').some((data) => 'attempt' in data && data.attempt === attempt),
      { what: `attempt ${attempt} to run`, timeoutMs: 45_000 },
    );
  const untilTold = async (allocation: string, what: string, times: number) =>
    await waitFor(() => dataOf(allocation, what).length >= times, {
      what: `${times} ${what}, heard: ${fixture.scheduler.told(allocation).join(' ')}`,
      timeoutMs: 45_000,
    });

  it('is begun again in place: same allocation and epoch, another grant, all stages anew', async () => {
    await fixture.start({}, crashing(0));
    const { allocation, epoch } = await run();
    await untilRuns(allocation, 1);
    crashNow();
    await untilRuns(allocation, 2);
    expect(dataOf(allocation, 'restarting')).toEqual([
      expect.objectContaining({
        ...{ epoch, attempt: 2, reason: 'exited', exitCode: 70, delayMs: 100 },
        ...{ stage: null, state: 'running' },
      }),
    ]);
    expect(dataOf(allocation, 'running').map((data) => 'attempt' in data && data.attempt)).toEqual([1, 2]);
    const stages = dataOf(allocation, 'stage-reached');
    expect(stages).toHaveLength(12);
    for (const stage of stages) expect(stage).toMatchObject({ tookMs: expect.any(Number) });
    expect(fixture.scheduler.grants.map((grant) => grant.epoch)).toEqual([epoch, epoch]);
    expect(fixture.scheduler.told(allocation).filter((what) => what === 'starting')).toHaveLength(1);
    expect(tasks()).toHaveLength(1);
    await waitFor(() => heartbeatOf(allocation)?.attempt === 2);
    expect(heartbeatOf(allocation)).toMatchObject({
      state: 'running',
      reason: null,
      lastExit: { attempt: 1, reason: 'exited', exitCode: 70 },
    });
  });

  it('fails with how it ended last once its attempts are used up', async () => {
    await fixture.start({}, crashing(100, { ...crash, outOfMemory: true }));
    const { allocation } = await run();
    expect(await fixture.scheduler.heard(allocation, 'failed')).toMatchObject({
      reason: 'out-of-memory',
      attempt: 3,
    });
    expect(dataOf(allocation, 'restarting')).toHaveLength(2);
    expect(starts).toHaveLength(3);
    await waitFor(() => tasks().length === 0);
  });

  it('fails at once when the broker refuses its login', async () => {
    await fixture.start({}, crashing(100, { ...crash, exitCode: 77 }));
    const { allocation } = await run();
    expect(await fixture.scheduler.heard(allocation, 'failed')).toMatchObject({ reason: 'login-refused' });
    expect(starts).toHaveLength(1);
  });

  it('fails at once when its token could bring no grant any more', async () => {
    await fixture.start({}, crashing(1));
    const claims = Buffer.from(JSON.stringify({ exp: 1 })).toString('base64url');
    const command = fixture.command({ restart: soon });
    const { allocation, login, server } = command;
    // What the secrets service of the tests reads, around what an agent looks at.
    await fixture.scheduler.send({
      ...command,
      token: JSON.stringify({ jws: `.${claims}.`, login, server }),
    });
    expect(await fixture.scheduler.heard(allocation, 'failed')).toMatchObject({
      reason: 'exited',
      attempt: 1,
    });
    expect(starts).toHaveLength(1);
  });

  it('is ended at once by a stop between two attempts', async () => {
    await fixture.start({}, crashing(0));
    const { account, allocation, epoch } = await run({ restart: late });
    await waitFor(() => heartbeatOf(allocation)?.observation?.stage === 'trade-allowed');
    crashNow();
    await fixture.scheduler.heard(allocation, 'restarting');
    await waitFor(() => tasks().length === 0, { what: 'the container to go before the wait' });
    await waitFor(() => heartbeatOf(allocation)?.attempt === 2);
    await fixture.scheduler.send(aStopCommand({ host: fixture.host, account, allocation, epoch }));
    expect(await fixture.scheduler.heard(allocation, 'stopped')).toMatchObject({
      reason: 'asked',
      attempt: 2,
    });
    expect(starts).toHaveLength(1);
    // The end is told as soon as nothing runs; the files go after it.
    await waitFor(async () => (await fixture.files(allocation)).length === 0, { what: 'the files to go' });
    // Nothing that the first one said was told as the word of the second.
    const said = fixture.scheduler.heartbeats.flatMap(({ allocations }) => allocations);
    expect(said.some(({ attempt, observation }) => attempt === 1 && observation !== null)).toBe(true);
    expect(said.every(({ attempt, observation }) => attempt === 1 || observation === null)).toBe(true);
  });

  it('is ended by its lease between two attempts', async () => {
    await fixture.start({}, crashing(1));
    const { allocation } = await run({ restart: late });
    await fixture.scheduler.heard(allocation, 'restarting');
    fixture.scheduler.withholdAll = true;
    await fixture.outlastLeases();
    expect(await fixture.scheduler.heard(allocation, 'failed')).toMatchObject({ reason: 'lease-ended' });
    expect(starts).toHaveLength(1);
  });

  it('keeps its lease while it waits, and has none to be found on the disk', async () => {
    await fixture.start({}, crashing(1));
    const pace = { delayMs: 60_000, delayMaxMs: 60_000, jitter: 0 };
    const { allocation } = await run({ restart: RestartPolicy.parse(pace) });
    await fixture.scheduler.heard(allocation, 'restarting');
    await waitFor(async () => (await fixture.files(allocation)).join() === 'control.json');
    await fixture.passAnswered(60_000);
    await untilRuns(allocation, 2);
    expect(fixture.scheduler.told(allocation)).not.toContain('failed');
    expect(await fixture.files(allocation)).toContain('lease.json');
  });

  it('is begun again when a stage is not reached in time', async () => {
    await fixture.start({}, fixture.driver({ stages: ['container', 'terminal'] }));
    const stageTimeoutMs = 10_000;
    const { allocation } = await run({ stageTimeoutMs, restart: { ...soon, attempts: 1 } });
    for (const attempt of [1, 2]) {
      const isStuck = () => heartbeatOf(allocation)?.observation?.stage === 'terminal';
      await waitFor(() => heartbeatOf(allocation)?.attempt === attempt && isStuck());
      await fixture.clock.skip(stageTimeoutMs);
    }
    expect(await fixture.scheduler.heard(allocation, 'failed')).toMatchObject({
      reason: 'stage-timeout',
      stage: 'terminal',
      attempt: 2,
    });
    expect(dataOf(allocation, 'restarting')).toMatchObject([{ reason: 'stage-timeout', stage: null }]);
  });

  it('is not taken for ready by what the attempt before had said', async () => {
    const [talking, mute] = [crashing(0), fixture.driver({ stages: [] })];
    const driver = new Proxy<Driver>(talking, {
      get: (target, name) => {
        const value: unknown = Reflect.get(name === 'start' && starts.length > 0 ? mute : target, name);
        return value;
      },
    });
    await fixture.start({}, driver);
    const stageTimeoutMs = 10_000;
    const { allocation } = await run({ stageTimeoutMs, restart: { ...soon, attempts: 1 } });
    await untilRuns(allocation, 1);
    crashNow();
    await waitFor(
      () => tasks().some(({ state }) => state === 'running') && heartbeatOf(allocation)?.attempt === 2,
    );
    await fixture.clock.skip(stageTimeoutMs);
    expect(await fixture.scheduler.heard(allocation, 'failed')).toMatchObject({
      ...{ reason: 'stage-timeout', attempt: 2, stage: null },
    });
    expect(dataOf(allocation, 'running')).toHaveLength(1);
  });

  it('is begun again when it has been silent for too long after it was ready', async () => {
    await fixture.start({}, crashing(0));
    const { allocation } = await run({ unhealthyAfterMs: 1000, restart: { ...soon, attempts: 1 } });
    const failed = await fixture.scheduler.heard(allocation, 'failed');
    expect(failed).toMatchObject({ reason: 'unhealthy', attempt: 2 });
    expect(dataOf(allocation, 'restarting')).toMatchObject([{ reason: 'unhealthy' }]);
    expect(tasks().filter((task) => task.state === 'running')).toEqual([]);
  });

  it('is begun again when it says for too long that it has fallen back, however often it says so', async () => {
    await fixture.start({}, crashing(0));
    const { allocation, epoch } = await run({ unhealthyAfterMs: 1500 });
    await fixture.scheduler.heard(allocation, 'running');
    let equity = 0;
    const fallen = await waitFor(
      async () => {
        equity += 1;
        await say(fixture.runDir(allocation), { ...aStatus({ allocation, epoch }, 'login'), equity });
        return dataOf(allocation, 'restarting')[0];
      },
      { timeoutMs: 45_000, what: 'the bot to be taken for unhealthy' },
    );
    expect(fallen).toMatchObject({ reason: 'unhealthy', detail: expect.stringContaining('login') });
  });

  describe('whose agent is gone', () => {
    it('between two attempts, is begun again by the next one, with the count as it was', async () => {
      const driver = crashing(2);
      await fixture.start({}, driver);
      const pace = { delayMs: 1500, delayMaxMs: 1500, jitter: 0 };
      const { allocation } = await run({ restart: RestartPolicy.parse({ ...soon, ...pace }) });
      await fixture.scheduler.heard(allocation, 'restarting');
      await fixture.stop();
      await fixture.start({}, crashing(2));
      await untilTold(allocation, 'restarting', 2);
      const attempts = dataOf(allocation, 'restarting').map((data) => 'attempt' in data && data.attempt);
      expect(attempts).toEqual([2, 3]);
      await untilRuns(allocation, 3);
      expect(starts).toHaveLength(3);
      expect(tasks()).toHaveLength(1);
    });

    it.each(['before', 'after'] as const)(
      'killed %s the engine started the second attempt, has one container and no attempt too many',
      async (when) => {
        const driver = new FragileDriver(crashing(1), { kind: 'crash', step: 'start', when, time: 2 });
        await fixture.start({}, driver.proxy);
        const { allocation } = await run();
        await fixture.scheduler.heard(allocation, 'restarting');
        await waitFor(() => driver.crashed, { what: 'the crash' });
        await fixture.crash();
        await fixture.start({}, fixture.driver());
        await untilRuns(allocation, 2);
        expect(dataOf(allocation, 'restarting')).toHaveLength(1);
        expect(dataOf(allocation, 'running').at(-1)).toMatchObject({ attempt: 2 });
        expect(tasks().map((task) => task.state)).toEqual(['running']);
      },
    );

    it('when it ends, is begun again by the next one as long as its lease lives', async () => {
      await fixture.start({}, crashing(0));
      const { allocation } = await run();
      await fixture.scheduler.heard(allocation, 'running');
      await fixture.stop();
      crashNow();
      await fixture.start({}, crashing(0));
      await untilRuns(allocation, 2);
      expect(dataOf(allocation, 'restarting')).toMatchObject([
        { attempt: 2, reason: 'exited', exitCode: 70 },
      ]);
      expect(tasks()).toHaveLength(1);
    });
  });
});
