import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { waitFor } from '#libs/testing';
import { ApiHarness } from '../api.harness.js';
import { RefusalsRecorder } from './refusals.recorder.js';

describe('refused writes', () => {
  let harness: ApiHarness;
  beforeAll(async () => {
    harness = await ApiHarness.start({ refusalEventsPerSecond: 5 });
  });
  afterAll(async () => {
    await harness.stop();
  });
  const refusals = async () =>
    await harness.sql<{ actor: string; data: { operation: string; code: string; detail: string } }>(
      `SELECT event ->> 'actor' AS actor, body::jsonb AS data FROM scheduler.outbox
       WHERE event ->> 'type' = 'tradefleet.request.refused' ORDER BY id`,
    );

  it('are recorded with who asked for what, refused reads are not, and a flood is counted', async () => {
    await harness.refusal('bots.get', { name: 'nobody' });
    await harness.refusal('bots.stop', { name: 'nobody' });
    const [first] = await waitFor(async () => {
      const rows = await refusals();
      return rows.length > 0 ? rows : null;
    });
    expect(first).toMatchObject({
      actor: 'nats:anonymous',
      data: { operation: 'bots.stop', code: 'bot_not_found', detail: expect.stringContaining("'nobody'") },
    });

    await Promise.all(
      Array.from({ length: 200 }, async () => await harness.refusal('bots.stop', { name: 'nobody' })),
    );
    const recorder = harness.app.get(RefusalsRecorder, { strict: false });
    await waitFor(() => recorder.suppressedCount > 0);
    const recorded = (await refusals()).length;
    expect(recorded).toBeLessThan(200);
    expect((await refusals()).every(({ data }) => data.operation === 'bots.stop')).toBe(true);
  });
});
