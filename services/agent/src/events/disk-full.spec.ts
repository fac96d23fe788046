import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { consumers, ProblemError } from '#libs/contracts';
import { EventSpool, lacksRoom } from '#libs/spool';
import { aStopCommand, startNats, waitFor, type TestNats } from '#libs/testing';
import { AgentDatabase } from '../state/agent.database.js';
import { AgentFixture } from '../testing/agent.fixture.js';

const patience = { timeoutMs: 30_000 };

describe('an agent whose disk is full', () => {
  let nats: TestNats;
  let fixture: AgentFixture;

  beforeAll(async () => (nats = await startNats()));
  afterAll(async () => await nats.stop());
  beforeEach(async () => (fixture = await AgentFixture.make(nats.url)));
  afterEach(async () => await fixture.close());

  const db = () => fixture.part(AgentDatabase);
  /** The state takes no further event or command: no new page, and no room is left where they are written. */
  const fillDisk = async () => {
    // What is confirmed would make room again.
    await waitFor(() => fixture.part(EventSpool).kept === 0, patience);
    db().limitPages(Number(db().one('PRAGMA page_count')?.['page_count']));
    let fillers = 0;
    const event = `INSERT INTO spool (incarnation, sequence, id, type, subject_id, actor, time, published, data)
                   VALUES ('filler', ?, '', '', '', '', '', 1, ?)`;
    const command = `INSERT INTO commands (id, allocation, recorded_at, verb) VALUES (?, '', 0, ?)`;
    for (const sql of [event, command])
      for (const bytes of [8000, 500, 20, 0])
        for (let fault: unknown = null; fault === null;) {
          const work = () => db().change(sql, (fillers += 1), 'x'.repeat(bytes));
          fault = await db()
            .commit(work)
            .then(
              () => null,
              (error: unknown) => error,
            );
          expect(fault === null || lacksRoom(fault)).toBe(true);
        }
  };
  const makeRoom = () => db().limitPages(null);
  const unsettled = async () => {
    const { stream, durable } = consumers.agentCommands(fixture.host);
    const info = await (await fixture.scheduler.messaging.manager()).consumers.info(stream, durable);
    return info.num_pending + info.num_ack_pending;
  };
  const states = () => fixture.engine.ofHost(fixture.host).map((task) => task.state);

  it('takes nothing new on, lets run what runs, obeys stops, and reports it all once there is room', async () => {
    await fixture.start();
    const [stays, goes] = [fixture.command(), fixture.command()];
    for (const command of [stays, goes]) {
      await fixture.scheduler.send(command);
      await fixture.scheduler.heard(command.allocation, 'running');
    }
    await fillDisk();

    const late = fixture.command();
    await fixture.scheduler.send(late);
    await waitFor(async () => (await unsettled()) === 1, patience);
    const { account, allocation, epoch } = goes;
    await fixture.scheduler.send(aStopCommand({ host: fixture.host, account, allocation, epoch }));
    await waitFor(() => states().filter((state) => state === 'running').length === 1, patience);

    // Its lease goes on being renewed.
    const beats = fixture.scheduler.heartbeats.length;
    await waitFor(() => fixture.scheduler.heartbeats.length > beats + 3, patience);
    expect(states().filter((state) => state === 'running')).toHaveLength(1);
    expect(fixture.scheduler.told(late.allocation)).toEqual([]);
    expect(fixture.scheduler.told(goes.allocation)).not.toContain('stopped');

    makeRoom();
    await fixture.scheduler.heard(goes.allocation, 'stopped');
    await fixture.scheduler.heard(late.allocation, 'running');
    expect(fixture.scheduler.told(stays.allocation)).not.toContain('failed');
    const sequences = fixture.scheduler.events.map((event) => event.attributes.sequence);
    expect(sequences).toEqual(sequences.map((_, index) => index + 1));
  });

  it('lets a bot that is starting go on once there is room', async () => {
    fixture.scheduler.withholdAll = true;
    await fixture.start();
    const command = fixture.command();
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(command.allocation, 'preparing');
    await fillDisk();
    fixture.scheduler.withholdAll = false;
    await waitFor(() => states().includes('running'), patience);
    const beats = fixture.scheduler.heartbeats.length;
    await waitFor(() => fixture.scheduler.heartbeats.length > beats + 3, patience);
    expect(states()).toEqual(['running']);
    expect(fixture.scheduler.told(command.allocation)).not.toContain('running');
    makeRoom();
    await fixture.scheduler.heard(command.allocation, 'running');
    expect(fixture.scheduler.told(command.allocation)).not.toContain('restarting');
  });

  it('goes on renewing leases and obeys stops when nothing at all can be written', async () => {
    await fixture.start();
    const [ended, stays, goes] = [fixture.command(), fixture.command(), fixture.command()];
    for (const command of [ended, stays, goes]) {
      await fixture.scheduler.send(command);
      await fixture.scheduler.heard(command.allocation, 'running');
    }
    const stop = async ({ account, allocation, epoch }: typeof ended) =>
      await fixture.scheduler.send(aStopCommand({ host: fixture.host, account, allocation, epoch }));
    const left = () => states().filter((state) => state === 'running').length;
    // Its end is told with heartbeats from now on, and that it was told cannot be written.
    fixture.scheduler.refusal = new ProblemError('unavailable', 'Try again.');
    await stop(ended);
    await fixture.scheduler.heard(ended.allocation, 'stopped');
    const full = Object.assign(new Error('database or disk is full'), { errcode: 13 });
    const commit = jest.spyOn(db(), 'commit').mockImplementation(() => Promise.reject(full));
    fixture.scheduler.refusal = null;
    await fixture.passAnswered(2 * fixture.scheduler.leaseTtlMs);
    expect(left()).toBe(2);
    await stop(goes);
    await waitFor(() => left() === 1, patience);
    commit.mockRestore();
    await fixture.scheduler.heard(goes.allocation, 'stopped');
    expect(left()).toBe(1);
  });
});
