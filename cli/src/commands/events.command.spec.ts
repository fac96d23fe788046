import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type EventTailPage, type FleetEvent, newId, ProblemError } from '#libs/contracts';
import { waitFor } from '#libs/testing';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { emptyFolder, runCli } from '../testing/cli.runner.js';
import { GatewayDouble } from '../testing/gateway.double.js';

let gateway: GatewayDouble;
beforeEach(async () => {
  gateway = await new GatewayDouble().start();
});
afterEach(() => gateway.stop());

const anEvent = (bot: string, fields: Partial<FleetEvent> = {}): FleetEvent => ({
  id: newId(),
  source: '/scheduler',
  type: 'tradefleet.bot.created',
  time: '2026-01-01T00:00:00.000Z',
  subject: `bot/${bot}`,
  sequence: 1,
  incarnation: newId(),
  actor: 'user:admin',
  entity: 'bot',
  entityId: bot,
  severity: 'notice',
  data: { bot, tenant: 'acme', reason: null },
  ...fields,
});

describe('events', () => {
  it('searches with the filters it is given', async () => {
    gateway.answers = { 'events.query': () => ({ events: [anEvent('b1')], next: null }) };
    const args = [
      'events',
      '--entity',
      'bot',
      '--id',
      'b1',
      '--from',
      '2026-01-01',
      '--order',
      'asc',
      '--limit',
      '5',
    ];
    const { stdout } = await runCli(args, { gateway });
    expect(stdout).toBe('2026-01-01T00:00:00.000Z  bot.created  b1  by user:admin  tenant=acme\n');
    expect(gateway.of('events.query')[0]?.request).toEqual({
      entity: 'bot',
      entityId: 'b1',
      from: '2026-01-01T00:00:00.000Z',
      order: 'asc',
      limit: 5,
    });
  });

  it('understands ages', async () => {
    gateway.answers = { 'events.query': () => ({ events: [], next: null }) };
    const before_ms = Date.now();
    expect((await runCli(['events', '--from', '2h'], { gateway })).stdout).toBe('No events.\n');
    const from_ms = Date.parse(String(gateway.of('events.query')[0]?.request['from']));
    expect(from_ms).toBeGreaterThanOrEqual(before_ms - 7_200_000);
    expect(from_ms).toBeLessThanOrEqual(Date.now() - 7_200_000);
  });
});

describe('events -f', () => {
  it('shows what fits as it is recorded, once, whatever restarts in between', async () => {
    const interrupted = new AbortController();
    const [first, second, third] = ['b1', 'b1', 'b1'].map((bot) => anEvent(bot));
    const answers = [
      { events: [], next: 7, size: 7 },
      { events: [first], next: 8, size: 8 },
      new ProblemError('unavailable', 'It restarts.'),
      { events: [second, third], next: 12, size: 12 },
    ];
    gateway.answers = {
      'events.tail': () =>
        (answers.shift() as EventTailPage | undefined) ?? new Promise<never>(() => undefined),
    };
    const shown: string[] = [];
    const running = runCli(
      ['events', '-f', '--id', 'b1', '--severity', 'warning', '--text', 'no money', '--json'],
      {
        gateway,
        interrupted: interrupted.signal,
        watch: (text) => shown.push(text),
      },
    );
    await waitFor(() => shown.join('').includes(third?.id ?? 'none'), { what: 'the last event' });
    await waitFor(() => gateway.of('events.tail').length === 5);
    interrupted.abort();
    const { code, stdout, stderr } = await running;
    expect(code).toBe(130);
    expect(stderr).toContain('does not answer');
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => (JSON.parse(line) as FleetEvent).id),
    ).toEqual([first?.id, second?.id, third?.id]);
    const filter = { entityId: 'b1', severity: 'warning', text: 'no money', limit: 100 };
    expect(gateway.of('events.tail').map(({ request }) => request)).toEqual([
      { ...filter, timeoutMs: 0 },
      ...[7, 8, 8, 12].map((position) => ({ ...filter, position, timeoutMs: 30_000 })),
    ]);
  });

  it('ends when the log is shorter than it was', async () => {
    gateway.answers = {
      'events.tail': ({ position }) =>
        position === undefined
          ? { events: [], next: 7, size: 7 }
          : new ProblemError('invalid_request', 'Send a position up to 3.'),
    };
    const ran = await runCli(['events', '-f'], { gateway });
    expect(ran).toMatchObject({ code: 1, stderr: 'invalid_request: Send a position up to 3.\n' });
  });
});

describe('events count', () => {
  const counts = {
    ...{ bucket: 'hour' as const, from: '2026-01-01T00:00:00.000Z', to: '2026-01-01T03:00:00.000Z' },
    ...{ total: 12, counts: [8, 0, 4], others: { groups: 0, total: 0 } },
  };

  it('draws buckets', async () => {
    gateway.answers = { 'events.count': () => ({ ...counts, groups: [] }) };
    const { stdout } = await runCli(['events', 'count', '--from', '2026-01-01', '--entity', 'bot'], {
      gateway,
    });
    expect(stdout.split('\n').map((line) => line.trimEnd())).toEqual([
      'from (UTC)        events',
      `2026-01-01 00:00       8  ${'█'.repeat(40)}`,
      '2026-01-01 01:00       0',
      `2026-01-01 02:00       4  ${'█'.repeat(20)}`,
      '12 events from 2026-01-01 00:00 to 2026-01-01 03:00.',
      '',
    ]);
    expect(gateway.of('events.count')[0]?.request).toEqual({
      ...{ entity: 'bot', from: '2026-01-01T00:00:00.000Z', bucket: 'hour', groups: 10 },
    });
  });

  it('draws groups over time, and says what is left out', async () => {
    gateway.answers = {
      'events.count': () => ({
        ...counts,
        groups: [{ group: 'tradefleet.bot.created', total: 9, counts: [8, 0, 1] }],
        others: { groups: 2, total: 3 },
      }),
    };
    const args = ['events', 'count', '--by', 'type', '--groups', '1', '--bucket', 'minute'];
    const { stdout } = await runCli(args, { gateway });
    expect(stdout).toMatch(/^tradefleet\.bot\.created +9 +75\.0 % +█·▁$/m);
    expect(stdout).toMatch(/^2 others +3 +25\.0 %$/m);
    const { stdout: document } = await runCli([...args, '--json'], { gateway });
    expect(JSON.parse(document)).toMatchObject({ total: 12, others: { groups: 2 } });
    expect(gateway.of('events.count')[0]?.request).toMatchObject({ by: 'type', groups: 1, bucket: 'minute' });
  });

  it('says when there is nothing', async () => {
    gateway.answers = { 'events.count': () => ({ ...counts, total: 0, counts: [0, 0, 0], groups: [] }) };
    expect((await runCli(['events', 'count'], { gateway })).stdout).toMatch(/^No events\.\n/);
  });
});

describe('events export', () => {
  const text = `${JSON.stringify(anEvent('b1'))}\n${JSON.stringify(anEvent('b2'))}\n`;

  it('writes a file, and nothing over another one', async () => {
    const cwd = emptyFolder();
    gateway.exported = { text };
    const args = ['events', 'export', '--class', 'audit', '--to', '2026-02-01', '--out', 'all.ndjson'];
    const { code, stdout } = await runCli(args, { gateway, cwd });
    expect({ code, stdout }).toEqual({ code: 0, stdout: `2 events in ${join(cwd, 'all.ndjson')}.\n` });
    expect(readFileSync(join(cwd, 'all.ndjson'), 'utf8')).toBe(text);
    expect(statSync(join(cwd, 'all.ndjson')).mode & 0o777).toBe(0o600);
    expect(gateway.exports).toEqual([
      { format: 'ndjson', retention: 'audit', to: '2026-02-01T00:00:00.000Z' },
    ]);
    expect(await runCli(args, { gateway, cwd })).toMatchObject({ code: 2 });
    expect(gateway.exports).toHaveLength(1);
  });

  it('counts the rows of CSV, for machines as well', async () => {
    const cwd = emptyFolder();
    gateway.exported = { text: 'position,time\r\n1,x\r\n2,y\r\n' };
    const args = ['events', 'export', '--format', 'csv', '--out', 'all.csv', '--json'];
    const { stdout } = await runCli(args, { gateway, cwd });
    expect(JSON.parse(stdout)).toEqual({
      ...{ file: join(cwd, 'all.csv'), format: 'csv', events: 2, bytes: 25 },
    });
  });

  it('writes to standard output and nothing else', async () => {
    gateway.exported = { text };
    expect(await runCli(['events', 'export'], { gateway })).toEqual({ code: 0, stdout: text, stderr: '' });
  });

  it.each([
    ['ndjson', '{"error":PROBLEM}\n', 'Ask for less.'],
    ['csv', 'error,query_too_costly,"Ask for ""less"", please.",,,\r\n', 'Ask for "less", please.'],
  ])('leaves no part of %s that was cut short, and says why', async (format, end, detail) => {
    const cwd = emptyFolder();
    const problem = new ProblemError('query_too_costly', detail).toProblem();
    gateway.exported = { text: text + end.replace('PROBLEM', JSON.stringify(problem)), cut: true };
    const args = ['events', 'export', '--format', format, '--out', 'all'];
    const ran = await runCli(args, { gateway, cwd });
    expect(ran).toMatchObject({ code: 1, stderr: `query_too_costly: ${detail}\n` });
    expect(readdirSync(cwd)).toEqual(['token']);
  });

  it('takes a connection that breaks for what it is', async () => {
    gateway.exported = { text: text.slice(0, -10), cut: true };
    const ran = await runCli(['events', 'export', '--out', 'all'], { gateway });
    expect(ran).toMatchObject({ code: 3, stderr: expect.stringContaining('connection') as unknown });
  });
});
