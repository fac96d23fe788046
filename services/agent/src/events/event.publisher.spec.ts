import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { startNats, waitFor, type TestNats } from '#libs/testing';
import { EventSpool } from '#libs/spool';
import { AgentDatabase } from '../state/agent.database.js';
import { AgentFixture } from '../testing/agent.fixture.js';

/** Who is not answered asks again up to half a minute later. */
const patience = { timeoutMs: 90_000 };

describe('events', () => {
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

  it('outlast the broker: what happened while it was away is told in order when it is back', async () => {
    await fixture.start();
    const commands = [fixture.command(), fixture.command(), fixture.command()];
    for (const command of commands) await fixture.scheduler.send(command);
    for (const command of commands) await fixture.scheduler.heard(command.allocation, 'running');
    await nats.kill();
    // Nobody renews: the leases end, which nobody can be told of at present.
    await fixture.outlastLeases();
    await waitFor(() => fixture.engine.ofHost(fixture.host).every((task) => task.state !== 'running'));
    await nats.restart();
    for (const command of commands) {
      expect(await fixture.scheduler.heard(command.allocation, 'failed')).toMatchObject({
        reason: 'lease-ended',
      });
    }
    const sequences = fixture.scheduler.events.map((event) => event.attributes.sequence);
    expect(sequences).toEqual(sequences.map((_, index) => index + 1));
  });

  it('that an agent could not tell are told by the next one', async () => {
    await fixture.start();
    const command = fixture.command();
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(command.allocation, 'running');
    const first = fixture.scheduler.registrations.at(-1)?.incarnation;
    await nats.kill();
    await fixture.outlastLeases();
    await waitFor(() => fixture.engine.ofHost(fixture.host).length === 0);
    await fixture.stop();
    await nats.restart();
    await fixture.start();
    await fixture.scheduler.heard(command.allocation, 'failed');
    const failed = fixture.scheduler.events.find((event) => event.what === 'failed');
    expect(failed?.attributes.incarnation).toBe(first);
    expect(fixture.scheduler.registrations.at(-1)?.incarnation).not.toBe(first);
  });

  describe('and the audit log', () => {
    const spool = () => fixture.part(EventSpool);
    const running = async () => {
      const command = fixture.command();
      await fixture.scheduler.send(command);
      await fixture.scheduler.heard(command.allocation, 'running');
      return command;
    };
    const heardOnce = () => new Set(fixture.scheduler.events.map((event) => event.attributes.id));

    it('are kept after the broker has them, until they are recorded', async () => {
      fixture.scheduler.isAuditAway = true;
      await fixture.start();
      await running();
      await waitFor(() => spool().waiting === 0 && fixture.scheduler.watermarkRequests.length > 0);
      expect(spool().kept).toBe(fixture.scheduler.events.length);
      fixture.scheduler.isAuditAway = false;
      await waitFor(() => spool().kept === 0, patience);
    });

    it('come again, all that is kept, when the stream was lost before they were recorded', async () => {
      fixture.scheduler.isAuditAway = true;
      await fixture.start();
      await running();
      await waitFor(() => spool().waiting === 0);
      const incarnation = fixture.scheduler.registrations.at(-1)?.incarnation ?? '';
      const before = [...fixture.scheduler.messageIds];
      // Nothing of it was recorded when the stream went.
      fixture.scheduler.ledger.forget(incarnation, ...before.map((_, index) => index + 1));
      await fixture.scheduler.loseEvents();
      fixture.scheduler.isAuditAway = false;
      await waitFor(() => fixture.scheduler.messageIds.length === 2 * before.length, patience);
      expect(fixture.scheduler.messageIds.slice(before.length)).toEqual(before.map((id) => `${id}.1`));
      expect(heardOnce().size).toBe(before.length);
      await waitFor(() => spool().kept === 0, patience);
    });

    it('of an agent that was restarted meanwhile are confirmed for the one before it too', async () => {
      fixture.scheduler.isAuditAway = true;
      await fixture.start();
      await running();
      await waitFor(() => spool().waiting === 0);
      await fixture.stop();
      await fixture.start();
      await running();
      await waitFor(() => spool().waiting === 0);
      expect(spool().incarnations()).toHaveLength(2);
      fixture.scheduler.isAuditAway = false;
      await waitFor(() => spool().kept === 0, patience);
    });

    it('that are gone are said to be gone', async () => {
      fixture.scheduler.isAuditAway = true;
      await fixture.start();
      await running();
      await waitFor(() => spool().waiting === 0);
      const incarnation = fixture.scheduler.registrations.at(-1)?.incarnation ?? '';
      const db = fixture.part(AgentDatabase);
      await db.commit(() => db.change('DELETE FROM spool WHERE sequence = 2'));
      fixture.scheduler.ledger.forget(incarnation, 2);
      fixture.scheduler.isAuditAway = false;
      await waitFor(() => spool().kept === 0, patience);
      const told = fixture.scheduler.watermarkRequests.flatMap(({ incarnations }) =>
        incarnations.map(({ unavailable }) => unavailable),
      );
      expect(told).toContainEqual([[2, 2]]);
    });
  });
});
