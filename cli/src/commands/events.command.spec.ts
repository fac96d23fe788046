import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type FleetEvent, newId } from '#libs/contracts';
import { waitFor } from '#libs/testing';
import { runCli } from '../testing/cli.runner.js';
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
  it('shows what fits as it happens, once, over a lost connection too', async () => {
    const interrupted = new AbortController();
    const first = anEvent('b1');
    const missed = anEvent('b1', { time: '2026-01-01T00:00:01.000Z' });
    const last = anEvent('b1', { time: '2026-01-01T00:00:02.000Z' });
    gateway.answers = { 'events.query': () => ({ events: [first, missed], next: null }) };
    const shown: string[] = [];
    const running = runCli(['events', '-f', '--id', 'b1', '--json'], {
      gateway,
      interrupted: interrupted.signal,
      watch: (text) => shown.push(text),
    });
    const stream = await waitFor(() => [...gateway.streams][0], { what: 'the stream to be open' });
    gateway.emit(anEvent('b2'));
    gateway.emit(first);
    await waitFor(() => shown.length === 1, { what: 'the first event' });
    gateway.streams.clear();
    stream.destroy();
    await waitFor(() => gateway.streams.size === 1, { what: 'the stream to be open again' });
    gateway.emit(missed);
    gateway.emit(last);
    await waitFor(() => shown.join('').includes(last.id), { what: 'the last event' });
    interrupted.abort();
    const { code, stdout } = await running;
    expect(code).toBe(130);
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => (JSON.parse(line) as FleetEvent).id),
    ).toEqual([first.id, missed.id, last.id]);
  });
});
