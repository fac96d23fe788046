import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { newId } from '#libs/contracts';
import { ApiHarness } from '../api.harness.js';

/** What the door lets through; what becomes of it is in rollouts.spec.ts. */
describe('rollouts over NATS', () => {
  let harness: ApiHarness;
  beforeAll(async () => {
    harness = await ApiHarness.start();
    await harness.aHost();
  });
  afterAll(async () => {
    await harness.stop();
  });

  const selector = async () => ({ bots: [(await harness.aBot()).bot.name] });
  const change = { parameters: { lots: 0.2 } };

  it('starts one for an idempotency key, however often it is asked', async () => {
    const request = { selector: await selector(), change };
    const { version } = await harness.ask('rollouts.plan', request);
    const ask = async () =>
      await harness.ask('rollouts.create', { ...request, version, idempotencyKey: `key-${version}` });
    const [first, second] = await Promise.all([ask(), ask()]);
    expect(second).toEqual(first);
    expect(await harness.sql('SELECT 1 FROM scheduler.rollouts WHERE id = $1', [first.id])).toHaveLength(1);
    expect(first).toMatchObject({
      state: 'running',
      by: 'nats:anonymous',
      options: { canary: 1, batchSize: 5, minHealthyMs: 30_000, autoRevert: true, failuresTolerated: 0 },
      progress: { total: 1, waiting: 1 },
    });
    const { kind, targets } = await harness.ask('operations.get', { id: first.operation });
    expect({ kind, targets }).toMatchObject({
      kind: 'rollouts.create',
      targets: [{ goal: 'rolled-out', state: 'running' }],
    });
  });

  it('keeps a bot for one rollout, also when two are started at the same moment', async () => {
    const chosen = await selector();
    const requests = [1, 2, 3, 4].map((lots) => ({ selector: chosen, change: { parameters: { lots } } }));
    const plans = await Promise.all(
      requests.map(async (request) => (await harness.ask('rollouts.plan', request)).version),
    );
    const answers = await Promise.allSettled(
      requests.map(
        async (request, n) => await harness.ask('rollouts.create', { ...request, version: plans[n] ?? '' }),
      ),
    );
    expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    const refused = answers.flatMap((answer) =>
      answer.status === 'rejected' ? [String(answer.reason)] : [],
    );
    for (const reason of refused) expect(reason).toContain('rollout_conflict');
  });

  it.each<[string, object, string]>([
    ['nothing to change', { change: {} }, 'invalid_request'],
    ['more canaries than a batch', { change, options: { canary: 6 } }, 'invalid_request'],
    [
      'a deadline that cannot be met',
      { change, options: { minHealthyMs: 5000, progressDeadlineMs: 5000 } },
      'invalid_request',
    ],
    ['a version that is none', { change: { version: 'paper:latest' } }, 'invalid_request'],
    ['a bot that is not there', { change, selector: { bots: ['nobody'] } }, 'bot_not_found'],
    ['no bot at all', { change, selector: { tenant: 'nobody' } }, 'invalid_transition'],
    ['a version nobody offers', { change: { version: 'v9' } }, 'version_not_offered'],
    ['another plan than was looked at', { change, version: 'f'.repeat(64) }, 'stale_plan'],
  ])('refuses %s and leaves nothing', async (_, request, code) => {
    const whole = { selector: await selector(), ...request };
    // The version that it would have: the refusal is for what is wrong, not for its lack.
    const answer = (await harness.send(
      'rollouts.plan',
      JSON.stringify({ ...whole, version: undefined }),
    )) as {
      result?: { version: string };
    };
    const version = answer.result?.version ?? '0'.repeat(64);
    const before = await harness.everything();
    expect((await harness.refusal('rollouts.create', { version, ...whole })).code).toBe(code);
    expect(await harness.everything()).toEqual(before);
  });

  it('refuses to hold what is not there', async () => {
    for (const name of ['rollouts.pause', 'rollouts.resume', 'rollouts.abort', 'rollouts.get'] as const)
      expect((await harness.refusal(name, { id: newId() })).code).toBe('rollout_not_found');
  });
});
