import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { RefusalsRecorder } from '#libs/persistence';
import { waitFor } from '#libs/testing';
import { ApiHarness } from '../api.harness.js';

describe('refused requests', () => {
  let harness: ApiHarness;
  beforeAll(async () => {
    harness = await ApiHarness.start({ refusalEventsPerSecond: 2 });
  });
  afterAll(async () => {
    await harness.stop();
  });
  const recorded = async (type: string) =>
    await harness.sql<{ actor: string; data: Record<string, unknown> }>(
      `SELECT event ->> 'actor' AS actor, body::jsonb AS data FROM scheduler.outbox
       WHERE event ->> 'type' = $1 ORDER BY id`,
      [`tradefleet.request.${type}`],
    );
  const refusals = async () => [...(await recorded('refused')), ...(await recorded('read-refused'))];

  it('are recorded with who asked for what, and a flood by its number', async () => {
    const refused = { 'bots.stop': 0, 'bots.get': 0 };
    const ask = async (name: keyof typeof refused) => {
      expect((await harness.refusal(name, { name: 'nobody' })).code).toBe('bot_not_found');
      refused[name] += 1;
    };
    await ask('bots.stop');
    const [first] = await waitFor(async () => {
      const rows = await recorded('refused');
      return rows.length > 0 ? rows : null;
    });
    expect(first).toMatchObject({
      actor: 'nats:anonymous',
      data: { operation: 'bots.stop', code: 'bot_not_found', detail: expect.stringContaining("'nobody'") },
    });

    await Promise.all(Array.from({ length: 100 }, async () => await ask('bots.get')));
    // Refused reads have taken none of the room of changes.
    expect((await recorded('read-refused')).length).toBeLessThan(50);
    await ask('bots.stop');
    await waitFor(async () => (await recorded('refused')).length === 2, {
      what: 'the change to be recorded',
    });
    await Promise.all(Array.from({ length: 100 }, async () => await ask('bots.stop')));

    const recorder = harness.app.get(RefusalsRecorder, { strict: false });
    const total = refused['bots.stop'] + refused['bots.get'];
    await waitFor(async () => (await refusals()).length + recorder.suppressedCount === total, {
      what: 'each to be recorded or counted',
    });
    expect((await recorded('refused')).length).toBeLessThan(60);
    const count = recorder.suppressedCount;
    await recorder.stop();
    expect(await recorded('refusals-suppressed')).toEqual([
      {
        actor: 'service:scheduler',
        data: {
          ...{ door: 'scheduler', count, codes: { bot_not_found: count }, askers: 1 },
          ...{ from: expect.any(String), to: expect.any(String) },
        },
      },
    ]);
    expect(recorder.suppressedCount).toBe(0);
  });
});
