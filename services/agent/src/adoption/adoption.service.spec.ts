import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SystemClock } from '#libs/clock';
import { LeaseFile, newId, type StartCommand } from '#libs/contracts';
import { startNats, waitFor, type TestNats } from '#libs/testing';
import type { TaskSpec } from '../drivers/driver.js';
import { LeaseKeeper } from '../leases/lease-keeper.js';
import { AgentDatabase } from '../state/agent.database.js';
import { FactsRepository } from '../state/facts.repository.js';
import { AgentFixture, steady } from '../testing/agent.fixture.js';

describe('an agent that comes back', () => {
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

  async function aBotThenNoAgent(fields: Partial<StartCommand> = {}): Promise<StartCommand> {
    await fixture.start();
    const command = fixture.command(fields);
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(command.allocation, 'running');
    await fixture.stop();
    return command;
  }

  const leasePath = (allocation: string) => join(fixture.runDir(allocation), 'lease.json');
  async function changeLease(allocation: string, fields: Partial<LeaseFile>): Promise<void> {
    const lease = LeaseFile.parse(JSON.parse(await readFile(leasePath(allocation), 'utf8')));
    await writeFile(leasePath(allocation), JSON.stringify({ ...lease, ...fields }));
  }
  const tasks = () => fixture.engine.ofHost(fixture.host);

  it('adopts what runs under a live lease: the same container, and its lease goes on', async () => {
    const command = await aBotThenNoAgent();
    const before = tasks().map((task) => task.id);
    await fixture.start();
    expect(await fixture.scheduler.heard(command.allocation, 'adopted')).toMatchObject({ state: 'running' });
    expect(tasks().map((task) => task.id)).toEqual(before);
    expect(tasks()[0]?.attempts).toBe(1);
    const lease = LeaseFile.parse(JSON.parse(await readFile(leasePath(command.allocation), 'utf8')));
    await waitFor(async () => {
      const now = LeaseFile.parse(JSON.parse(await readFile(leasePath(command.allocation), 'utf8')));
      return now.deadlineBoottimeMs > lease.deadlineBoottimeMs;
    });
    await waitFor(() => fixture.scheduler.heartbeats.at(-1)?.allocations[0]?.observation?.equity === 10_000);
    expect(fixture.scheduler.told(command.allocation)).not.toContain('failed');
  });

  it('adopts without a broker, and ends what it adopted when the lease does', async () => {
    const command = await aBotThenNoAgent();
    await nats.kill();
    const starting = fixture.start();
    const left = () => fixture.part(LeaseKeeper).remainingMs(command.allocation);
    await waitFor(() => left() !== null, { what: 'the agent to adopt it' });
    expect(tasks().map((task) => task.state)).toEqual(['running']);
    await fixture.outlastLeases();
    await waitFor(() => tasks().every((task) => task.state !== 'running'), { what: 'the end of the lease' });
    await nats.restart();
    await starting;
    await fixture.scheduler.heard(command.allocation, 'failed');
    expect(fixture.scheduler.told(command.allocation).slice(-2)).toEqual(['adopted', 'failed']);
  });

  it('kills what runs without a live lease', async () => {
    const command = await aBotThenNoAgent();
    await changeLease(command.allocation, { deadlineBoottimeMs: new SystemClock().boottimeMs() - 1 });
    await fixture.start();
    expect(await fixture.scheduler.heard(command.allocation, 'failed')).toMatchObject({
      reason: 'lease-ended',
    });
    await waitFor(() => tasks().length === 0, { what: 'the dead container to go' });
  });

  it('takes no lease of another epoch for one', async () => {
    const command = await aBotThenNoAgent();
    await changeLease(command.allocation, { epoch: 2 });
    await fixture.start();
    expect(await fixture.scheduler.heard(command.allocation, 'failed')).toMatchObject({
      reason: 'lease-ended',
    });
  });

  it('takes no lease of another boot for one', async () => {
    const command = await aBotThenNoAgent();
    const db = new AgentDatabase(join(fixture.stateDir, 'agent.sqlite'));
    await db.commit(() => new FactsRepository(db).set('boot-id', 'another'));
    db.close();
    await fixture.start();
    expect(await fixture.scheduler.heard(command.allocation, 'failed')).toMatchObject({
      reason: 'lease-ended',
    });
  });

  it('tells of a bot that ended meanwhile how it ended', async () => {
    const command = await aBotThenNoAgent();
    tasks()[0]?.end({ exitCode: 77, outOfMemory: false, unknown: false });
    await fixture.start();
    expect(await fixture.scheduler.heard(command.allocation, 'failed')).toMatchObject({
      reason: 'login-refused',
      exitCode: 77,
    });
    await waitFor(() => tasks().length === 0);
  });

  it('tells of a bot whose container is gone', async () => {
    const command = await aBotThenNoAgent();
    for (const task of tasks()) fixture.engine.remove(task);
    await fixture.start();
    expect(await fixture.scheduler.heard(command.allocation, 'failed')).toMatchObject({ reason: 'exited' });
  });

  it('removes a container it knows nothing of, and tells', async () => {
    const driver = fixture.driver();
    const command = fixture.command();
    const task: TaskSpec = {
      allocation: command.allocation,
      tenant: command.tenant,
      bot: command.bot,
      account: command.account,
      epoch: 8,
      host: fixture.host,
      runtime: 'paper',
      version: null,
      resources: command.resources,
      runDir: fixture.runDir(command.allocation),
      stopGraceMs: 0,
    };
    await driver.prepare('create', task);
    await driver.start(task);
    await fixture.start({}, driver);
    expect(await fixture.scheduler.heard(command.allocation, 'failed')).toMatchObject({
      reason: 'unknown-to-host',
      account: command.account,
      epoch: 8,
    });
    await waitFor(() => tasks().length === 0, { what: 'the dead container to go' });
    // Its epoch counts: an older allocation of the account is refused from now on.
    await fixture.scheduler.send(fixture.command({ account: command.account, epoch: 7 }));
    await waitFor(() =>
      fixture.scheduler.events.some((event) => event.type === 'tradefleet.command.rejected'),
    );
  });

  it('leaves containers of other hosts on the same engine alone', async () => {
    const elsewhere = fixture.driver({ host: 'elsewhere' });
    const command = fixture.command();
    const { account, allocation, bot, epoch, resources, tenant } = command;
    const runDir = join(fixture.folder, 'elsewhere');
    const task = {
      account,
      allocation,
      bot,
      epoch,
      resources,
      tenant,
      host: 'elsewhere',
      runtime: 'paper',
      version: null,
      runDir,
      stopGraceMs: 0,
    } as const;
    await elsewhere.prepare('create', task);
    await elsewhere.start(task);
    await fixture.start();
    expect(fixture.engine.ofHost('elsewhere')).toHaveLength(1);
  });

  it('removes directories nobody needs, and keeps what lives', async () => {
    const command = await aBotThenNoAgent();
    const leftover = newId();
    await mkdir(join(fixture.runRoot, leftover, 'out'), { recursive: true });
    await fixture.start();
    expect(await fixture.files(leftover)).toEqual([]);
    expect(await fixture.files(command.allocation)).toContain('bot.json');
  });

  it('finishes a stop that was recorded before it went', async () => {
    const command = await aBotThenNoAgent();
    const db = new AgentDatabase(join(fixture.stateDir, 'agent.sqlite'));
    const stop = JSON.stringify({ reason: 'account-locked', graceMs: 0, actor: 'user:admin', detail: null });
    await db.commit(() =>
      db.change('UPDATE allocations SET stop = ? WHERE id = ?', stop, command.allocation),
    );
    db.close();
    await fixture.start();
    expect(await fixture.scheduler.heard(command.allocation, 'stopped')).toMatchObject({
      reason: 'account-locked',
    });
    await waitFor(() => tasks().length === 0);
  });

  it('gives no second grace to what was asked to stop before it went', async () => {
    const command = await aBotThenNoAgent();
    const db = new AgentDatabase(join(fixture.stateDir, 'agent.sqlite'));
    const graceMs = 600_000;
    const askedBoottimeMs = new SystemClock().boottimeMs() - graceMs;
    const stop = JSON.stringify({
      reason: 'asked',
      graceMs,
      actor: 'user:admin',
      detail: null,
      askedBoottimeMs,
    });
    await db.commit(() =>
      db.change('UPDATE allocations SET stop = ? WHERE id = ?', stop, command.allocation),
    );
    db.close();
    // Would take its time, and have it.
    await fixture.start({}, fixture.driver({ behaviour: () => ({ ...steady, stop_ms: 60_000 }) }));
    expect(await fixture.scheduler.heard(command.allocation, 'stopped')).toMatchObject({ exitCode: 137 });
  });

  it('goes on stopping what it was stopping of its own accord when it went', async () => {
    const command = await aBotThenNoAgent();
    const db = new AgentDatabase(join(fixture.stateDir, 'agent.sqlite'));
    await db.commit(() =>
      db.change(
        "UPDATE allocations SET state = 'stopping', reason = 'asked' WHERE id = ?",
        command.allocation,
      ),
    );
    db.close();
    await fixture.start();
    expect(await fixture.scheduler.heard(command.allocation, 'stopped')).toMatchObject({ reason: 'asked' });
    await waitFor(() => tasks().length === 0);
  });
});
