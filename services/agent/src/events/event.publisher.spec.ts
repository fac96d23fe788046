import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { startNats, waitFor, type TestNats } from '#libs/testing';
import { AgentFixture } from '../testing/agent.fixture.js';

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
    fixture.scheduler.leaseTtlMs = 2000;
    await fixture.start();
    const commands = [fixture.command(), fixture.command(), fixture.command()];
    for (const command of commands) await fixture.scheduler.send(command);
    for (const command of commands) await fixture.scheduler.heard(command.allocation, 'running');
    await nats.kill();
    // Nobody renews: the leases end, which nobody can be told of at present.
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
    fixture.scheduler.leaseTtlMs = 2000;
    await fixture.start();
    const command = fixture.command();
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(command.allocation, 'running');
    const first = fixture.scheduler.registrations.at(-1)?.incarnation;
    await nats.kill();
    await waitFor(() => fixture.engine.ofHost(fixture.host).length === 0);
    await fixture.stop();
    await nats.restart();
    await fixture.start();
    await fixture.scheduler.heard(command.allocation, 'failed');
    const failed = fixture.scheduler.events.find((event) => event.what === 'failed');
    expect(failed?.attributes.incarnation).toBe(first);
    expect(fixture.scheduler.registrations.at(-1)?.incarnation).not.toBe(first);
  });
});
