import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { ProblemError } from '#libs/contracts';
import { startNats, waitFor, type TestNats } from '#libs/testing';
import { AgentFixture } from '../testing/agent.fixture.js';

const joinToken = 'Aq_'.padEnd(43, '7');

describe('registration', () => {
  let nats: TestNats;
  let agent: AgentFixture;
  beforeAll(async () => {
    nats = await startNats();
  });
  afterAll(async () => {
    await nats.stop();
  });
  beforeEach(async () => {
    agent = await AgentFixture.make(nats.url);
  });
  afterEach(async () => {
    await agent.close();
  });
  /** The tokens of the registrations so far, in order. */
  const sent = () => agent.scheduler.registrations.map((registration) => registration.joinToken);

  it('brings the token until the host is registered, and never again', async () => {
    agent.scheduler.registerRefusals = [new ProblemError('unavailable', 'Try again.')];
    await agent.start({ joinToken });
    expect(sent()).toEqual([joinToken, joinToken]);
    await agent.stop();
    await agent.start({ joinToken });
    expect(sent()).toEqual([joinToken, joinToken, undefined]);
  });

  it('brings a new token when the fleet has forgotten the host', async () => {
    await agent.start();
    await agent.stop();
    agent.scheduler.registerRefusals = [new ProblemError('join_token_invalid', 'Invite it.')];
    await agent.start({ joinToken });
    await waitFor(() => sent().length === 3);
    expect(sent()).toEqual([undefined, undefined, joinToken]);
  });

  it('keeps asking without a token, for a fleet that is open or will invite it', async () => {
    agent.scheduler.registerRefusals = [new ProblemError('join_token_invalid', 'Invite it.')];
    await agent.start();
    expect(sent()).toEqual([undefined, undefined]);
  });
});
