import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LeaseFile, ProblemError, type HeartbeatAck } from '#libs/contracts';
import { SigningKey } from '#libs/messaging';
import { startNats, waitFor, type TestNats } from '#libs/testing';
import { clock_drift_max } from '../leases/lease-deadline.js';
import { AgentFixture } from '../testing/agent.fixture.js';

describe('heartbeats', () => {
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
    fixture.scheduler.heartbeatIntervalMs = 100;
  });
  afterEach(async () => {
    await fixture.close();
  });

  /** A bot that runs under a good lease, which the answers that follow must not be able to renew. */
  async function aRunningBot(): Promise<string> {
    await fixture.start();
    const command = fixture.command();
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(command.allocation, 'running');
    return command.allocation;
  }

  it('grow by one each and come at the interval the scheduler asks for', async () => {
    await fixture.start();
    await waitFor(() => fixture.scheduler.heartbeats.length >= 4);
    const { heartbeats } = fixture.scheduler;
    expect(heartbeats.map((beat) => beat.sequence)).toEqual(heartbeats.map((_, index) => index + 1));
  });

  it('give a lease that counts from their sending, however late the answer is', async () => {
    const { clock, scheduler } = fixture;
    let heard_ms = 0;
    scheduler.answerDelayMs = 300;
    // One lease, and no other after it.
    scheduler.spoil = (answer) => {
      const first = heard_ms === 0 && answer.leases.length > 0;
      if (first) heard_ms = clock.boottimeMs();
      return first ? answer : { ...answer, leases: [] };
    };
    const allocation = await aRunningBot();
    const text = await readFile(join(fixture.runDir(allocation), 'lease.json'), 'utf8');
    const { deadlineBoottimeMs } = LeaseFile.parse(JSON.parse(text));
    // Sent before it was heard; the margin of the fixture is 100 ms.
    expect(deadlineBoottimeMs).toBeLessThanOrEqual(heard_ms + 15_000 * (1 - clock_drift_max) - 100);
    expect(deadlineBoottimeMs).toBeGreaterThan(heard_ms);
  });

  it('give one allocation a longer lease than others', async () => {
    const { scheduler } = fixture;
    scheduler.spoil = (answer) => ({
      ...answer,
      leases: answer.leases.map((lease) => ({ ...lease, ttlMs: 600_000 })),
    });
    const allocation = await aRunningBot();
    const text = await readFile(join(fixture.runDir(allocation), 'lease.json'), 'utf8');
    const { deadlineBoottimeMs, writtenBoottimeMs } = LeaseFile.parse(JSON.parse(text));
    // That of the fleet lasts 15 s.
    expect(deadlineBoottimeMs - writtenBoottimeMs).toBeGreaterThan(60_000);
  });

  it('renew nothing on the word of a forger', async () => {
    const allocation = await aRunningBot();
    await fixture.scheduler.deafen();
    await fixture.scheduler.listen(await SigningKey.generate());
    await fixture.outlastLeases();
    expect(await fixture.scheduler.heard(allocation, 'failed')).toMatchObject({ reason: 'lease-ended' });
  });

  it('renew nothing on an answer that was given before', async () => {
    const allocation = await aRunningBot();
    let replayed: HeartbeatAck | null = null;
    fixture.scheduler.spoil = (answer) => (replayed ??= answer);
    await waitFor(() => replayed !== null, { what: 'an answer to give again' });
    await fixture.outlastLeases();
    expect(await fixture.scheduler.heard(allocation, 'failed')).toMatchObject({ reason: 'lease-ended' });
  });

  it('renew nothing on the word of a leader that was followed by another', async () => {
    fixture.scheduler.term = 5;
    const allocation = await aRunningBot();
    fixture.scheduler.term = 4;
    await fixture.outlastLeases();
    expect(await fixture.scheduler.heard(allocation, 'failed')).toMatchObject({ reason: 'lease-ended' });
  });

  it('remember the term across a restart of the agent', async () => {
    fixture.scheduler.term = 9;
    await aRunningBot();
    await fixture.stop();
    fixture.scheduler.term = 8;
    await fixture.start();
    const command = fixture.command();
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(command.allocation, 'preparing');
    const before = fixture.scheduler.heartbeats.length;
    await waitFor(() => fixture.scheduler.heartbeats.length > before + 2);
    expect(fixture.scheduler.told(command.allocation)).not.toContain('starting');
    fixture.scheduler.term = 10;
    await fixture.scheduler.heard(command.allocation, 'running');
  });

  it('tell every leader the highest term that was seen, with its proof, across restarts', async () => {
    const { scheduler } = fixture;
    scheduler.term = 9;
    scheduler.spoil = (answer) => ({ ...answer, termProof: `proof of ${answer.term}` });
    await fixture.start();
    await waitFor(() => scheduler.heartbeats.at(-1)?.termSeen === 9);
    expect(scheduler.heartbeats[0]).not.toHaveProperty('termSeen');
    expect(scheduler.heartbeats.at(-1)).toMatchObject({ termProof: 'proof of 9' });
    await fixture.stop();
    const before = scheduler.heartbeats.length;
    await fixture.start();
    await waitFor(() => scheduler.heartbeats.length > before);
    expect(scheduler.heartbeats[before]).toMatchObject({ termSeen: 9, termProof: 'proof of 9' });
    scheduler.term = 10;
    await waitFor(() => scheduler.heartbeats.at(-1)?.termSeen === 10);
    expect(scheduler.heartbeats.at(-1)).toMatchObject({ termProof: 'proof of 10' });
  });

  it('register again when the scheduler does not know the host', async () => {
    await fixture.start();
    fixture.scheduler.refusal = new ProblemError('host_not_registered', 'Register first.');
    await waitFor(() => fixture.scheduler.registrations.length >= 2);
    fixture.scheduler.refusal = null;
    const command = fixture.command();
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(command.allocation, 'running');
  });

  it('end every bot when nobody answers, and go on when somebody does', async () => {
    const allocation = await aRunningBot();
    await fixture.scheduler.deafen();
    await fixture.outlastLeases();
    expect(await fixture.scheduler.heard(allocation, 'failed')).toMatchObject({ reason: 'lease-ended' });
    expect(fixture.engine.ofHost(fixture.host).filter((task) => task.state === 'running')).toHaveLength(0);
    await fixture.scheduler.listen();
    const command = fixture.command();
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(command.allocation, 'running');
  });
});
