import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { newId, type RetentionPlan, type RetentionRun } from '#libs/contracts';
import { runCli } from '../testing/cli.runner.js';
import { GatewayDouble } from '../testing/gateway.double.js';

let gateway: GatewayDouble;
beforeEach(async () => {
  gateway = await new GatewayDouble().start();
});
afterEach(() => gateway.stop());

const at = '2026-01-01T00:00:00.000Z';
const subject = newId();

describe('audit erase', () => {
  beforeEach(() => {
    gateway.answers = {
      'subjects.erase': () => ({ subjects: [{ subject, records: 12 }], erasedAt: at }),
    };
  });

  it('asks before it erases', async () => {
    const args = ['audit', 'erase', 'user:ada', '--reason', 'asked for'];
    const kept = await runCli(args, { gateway, terminal: true, typed: ['n'] });
    expect(kept).toMatchObject({ code: 1, stderr: expect.stringContaining('Nothing has been erased.') });
    expect(gateway.of('subjects.erase')).toEqual([]);
    const erased = await runCli(args, { gateway, terminal: true, typed: ['y'] });
    expect(erased).toMatchObject({ code: 0, stdout: expect.stringContaining(`Erased ${subject}`) });
    expect(gateway.of('subjects.erase')[0]?.request).toEqual({ name: 'user:ada', reason: 'asked for' });
  });

  it.each([
    [['audit', 'erase', 'user:ada', '--reason', 'x']],
    [['audit', 'erase', '--yes', '--reason', 'x']],
    [['audit', 'erase', 'user:ada', '--subject', subject, '--yes', '--reason', 'x']],
    [['audit', 'erase', 'user:ada', '--yes']],
  ])('does nothing for %j', async (args) => {
    expect(await runCli(args, { gateway })).toMatchObject({ code: 2 });
    expect(gateway.of('subjects.erase')).toEqual([]);
  });
});

describe('audit subject', () => {
  it('goes through all pages', async () => {
    const event = (id: string) => ({
      ...{
        id,
        source: '/scheduler',
        type: 'tradefleet.bot.created',
        time: at,
        subject: 'bot/b1',
        sequence: 1,
      },
      ...{
        incarnation: newId(),
        actor: 'user:ada',
        entity: 'bot',
        entityId: 'b1',
        severity: 'notice' as const,
      },
      ...{ data: {}, position: 1 },
    });
    const [first, second] = [event(newId()), event(newId())];
    gateway.answers = {
      'subjects.export': (request) => ({
        subjects: [subject],
        events: ['after' in request ? second : first],
        next: 'after' in request ? null : 'the-second',
      }),
    };
    const { stdout } = await runCli(['audit', 'subject', 'user:ada', '--json'], { gateway });
    const shown = stdout.trimEnd().split('\n');
    expect(shown.map((line) => (JSON.parse(line) as { id: string }).id)).toEqual([first.id, second.id]);
  });
});

describe('audit retention', () => {
  const plan: RetentionPlan = {
    months: { trading: 84, audit: 60, error: 24, session: 12 },
    obstacle: null,
    partitions: [
      {
        ...{
          class: 'session',
          month: '2024-11',
          records: 7,
          bytes: 8192,
          dueAt: at,
          state: 'due',
          holds: [],
        },
      },
    ],
  };
  const running: RetentionRun = {
    ...{ id: newId(), state: 'running', startedAt: at, endedAt: null, steps: [], detail: null },
  };
  const archive = newId();
  const step = {
    class: 'session',
    month: '2024-11',
    records: 7,
    did: 'dropped',
    archive,
    detail: null,
  } as const;

  it('shows what is due, and with --dry-run leaves it at that', async () => {
    gateway.answers = { 'retention.plan': () => plan };
    const { stdout } = await runCli(['audit', 'retention', 'run', '--dry-run'], { gateway });
    expect(stdout).toMatch(/session +2024-11 +7 +0\.0 +2026-01-01T00:00:00.000Z +due/);
    expect(gateway.of('retention.run')).toEqual([]);
    expect(gateway.of('retention.plan')[0]?.request).toMatchObject({ due: true });
  });

  it('carries it out and waits for the end', async () => {
    gateway.answers = {
      'retention.plan': () => plan,
      'retention.run': () => running,
      'retention.get': () => ({ ...running, state: 'succeeded', endedAt: at, steps: [step] }),
    };
    const ran = await runCli(['audit', 'retention', 'run', '--class', 'session', '--yes'], { gateway });
    expect(ran).toMatchObject({ code: 0, stdout: expect.stringContaining(archive) });
    expect(gateway.of('retention.run')[0]?.request).toMatchObject({ class: 'session' });
  });

  it('fails when a part of it failed', async () => {
    const failed = { ...step, did: 'failed', detail: 'no room' } as const;
    gateway.answers = {
      'retention.run': () => running,
      'retention.get': () => ({
        ...running,
        state: 'failed',
        endedAt: at,
        steps: [failed],
        detail: '1 of them',
      }),
    };
    const ran = await runCli(['audit', 'retention', 'run', '--yes', '--json'], { gateway });
    expect(ran.code).toBe(4);
    expect(JSON.parse(ran.stdout)).toMatchObject({ state: 'failed' });
    expect(await runCli(['audit', 'retention', 'run', '--json'], { gateway })).toMatchObject({ code: 2 });
  });
});

describe('audit hold', () => {
  it('places what it is told', async () => {
    const id = newId();
    gateway.answers = {
      'holds.place': () => ({
        ...{ id, class: 'trading', from: '2026-01', to: null, subject: null, reason: 'case 1', placedAt: at },
        ...{ releasedAt: null, releaseReason: null },
      }),
    };
    const args = ['audit', 'hold', 'place', '--reason', 'case 1', '--class', 'trading', '--from', '2026-01'];
    expect(await runCli(args, { gateway })).toMatchObject({ code: 0, stdout: `Hold ${id} is placed.\n` });
    expect(gateway.of('holds.place')[0]?.request).toEqual({
      reason: 'case 1',
      class: 'trading',
      from: '2026-01',
    });
    expect(await runCli([...args, '--to', 'soon'], { gateway })).toMatchObject({ code: 2 });
  });
});
