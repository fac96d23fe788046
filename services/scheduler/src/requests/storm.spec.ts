import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { ApiName } from '#libs/contracts';
import { ApiHarness } from '../api.harness.js';

/** Deterministic: the same storm every time (a linear congruential generator, Numerical Recipes). */
function* numbers(seed: number): Generator<number, never> {
  for (let state = seed; ;) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    yield state / 2 ** 32;
  }
}

const wave = 100;

describe('a storm of requests about the same few bots', () => {
  let harness: ApiHarness;
  beforeAll(async () => {
    harness = await ApiHarness.start();
  });
  afterAll(async () => {
    await harness.stop();
  });

  it('gives each a definite answer, and leaves counts, states and generations that fit together', async () => {
    const tenant = await harness.aTenant();
    const bots = await Promise.all(
      [0, 1, 2, 3].map(async () => (await harness.aBot({ account: await harness.anAccount(tenant) })).bot),
    );
    const host = await harness.aHost();
    for (const bot of bots) await harness.anAllocation(bot.name, host);
    const manifest = {
      apiVersion: 'tradefleet/v1' as const,
      tenants: [
        {
          name: tenant,
          bots: bots.map(({ name, account }) => ({
            name,
            account,
            runtime: 'paper' as const,
            parameters: { n: -1 },
          })),
        },
      ],
    };
    const random = numbers(20261121);
    const next = () => random.next().value;
    const storm = Array.from({ length: 300 }, (_, n): [ApiName, unknown] => {
      const bot = bots[Math.floor(next() * bots.length)] ?? bots[0];
      const kinds: [ApiName, unknown][] = [
        ['bots.start', { name: bot?.name }],
        ['bots.stop', { name: bot?.name }],
        ['bots.update', { name: bot?.name, parameters: { n } }],
        ['accounts.lock', { name: bot?.account, reason: 'storm' }],
        ['accounts.unlock', { name: bot?.account, reason: 'storm' }],
        ['hosts.drain', { name: host, reason: 'storm' }],
        ['hosts.ready', { name: host }],
      ];
      return kinds[Math.floor(next() * kinds.length)] ?? ['fleet.plan', { manifest }];
    });
    const applies = Array.from({ length: 5 }, async () => {
      const { version } = await harness.ask('fleet.plan', { manifest });
      return await harness.send('fleet.apply', JSON.stringify({ manifest, version }));
    });
    const answers: { ok: boolean; problem?: { code: string } }[] = [];
    // As many at a time as are handled at once, or a slow machine would refuse who has waited for long.
    for (let from = 0; from < storm.length; from += wave) {
      const asked = storm.slice(from, from + wave);
      const sent = asked.map(async ([name, request]) => await harness.send(name, JSON.stringify(request)));
      answers.push(...((await Promise.all(sent)) as typeof answers));
    }
    answers.push(...((await Promise.all(applies)) as typeof answers));

    const codes = new Set(answers.map(({ ok, problem }) => (ok ? 'ok' : problem?.code)));
    expect(
      [...codes].filter((code) => code === 'internal' || code === 'unavailable' || code === 'timeout'),
    ).toEqual([]);
    expect(codes).toContain('ok');
    // Counts of operations are those of their targets, and one that is done has ended.
    const wrong = await harness.sql(
      `SELECT o.id FROM scheduler.operations o
       LEFT JOIN LATERAL (
         SELECT count(*) AS total,
           count(*) FILTER (WHERE state <> 'running') AS done,
           count(*) FILTER (WHERE state = 'failed') AS failed,
           count(*) FILTER (WHERE state = 'superseded') AS superseded
         FROM scheduler.operation_targets t WHERE t.operation = o.id) t ON true
       WHERE (o.total, o.done, o.failed, o.superseded) <> (t.total, t.done, t.failed, t.superseded)
         OR (o.state = 'running') <> (o.done < o.total)`,
    );
    expect(wrong).toEqual([]);
    // Each end was told once.
    const ends = await harness.sql(
      `SELECT o.id, count(e.id)::int AS ends FROM scheduler.operations o
       LEFT JOIN scheduler.outbox e
         ON e.event ->> 'subjectId' = o.id::text AND e.event ->> 'type' = 'tradefleet.operation.ended'
       GROUP BY o.id HAVING count(e.id) <> CASE WHEN o.state = 'running' THEN 0 ELSE 1 END`,
    );
    expect(ends).toEqual([]);
    // A generation grew with each event that tells of it.
    for (const { name } of bots) {
      const { generation } = await harness.ask('bots.get', { name });
      const told = await harness.sql<{ generation: number }>(
        `SELECT DISTINCT (body::jsonb ->> 'generation')::int AS generation FROM scheduler.outbox
         WHERE event ->> 'subjectId' = $1 AND event ->> 'type' LIKE 'tradefleet.bot.%' ORDER BY 1`,
        [name],
      );
      expect(told.map((row) => row.generation)).toEqual(Array.from({ length: generation }, (_, n) => n + 1));
    }
  });
});
