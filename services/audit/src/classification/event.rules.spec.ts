import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { EventAttributes, newId, Timestamp } from '#libs/contracts';
import { faultOfClock, faultOfId, faultOfTime } from './event.rules.js';

const attributes = (time: string): EventAttributes => ({
  ...{
    id: newId(),
    source: '/scheduler',
    type: 'tradefleet.bot.created',
    time,
    subject: 'bot/b',
    sequence: 1,
  },
  ...{ incarnation: newId(), actor: 'service:spec' },
});
/** Reads back as the same text. */
const isExact = (time: string): boolean => {
  const instant = new Date(time);
  return !Number.isNaN(instant.getTime()) && instant.toISOString() === time;
};
const two = (max: number): fc.Arbitrary<string> => fc.nat(max).map((n) => String(n).padStart(2, '0'));

describe('the time of an event', () => {
  const texts = fc
    .record({
      year: fc.oneof(
        fc.integer({ min: 0, max: 9999 }),
        fc.constantFrom(0, 1900, 2000, 2024, 2026, 2100, 9999),
      ),
      month: two(13),
      day: two(32),
      hour: two(25),
      minute: two(61),
      second: two(61),
      fraction: fc.constantFrom('', '.', '.1', '.12', '.123', '.000', '.999', '.1234', '.123000'),
      zone: fc.constantFrom('Z', 'z', '', '+00:00', '-00:00'),
    })
    .map(
      ({ year, month, day, hour, minute, second, fraction, zone }) =>
        `${String(year).padStart(4, '0')}-${month}-${day}T${hour}:${minute}:${second}${fraction}${zone}`,
    );

  it('is taken in the one form that comes back from the database, of those the schema lets through', () => {
    let taken = 0;
    fc.assert(
      fc.property(texts, (time) => {
        if (!Timestamp.safeParse(time).success) return;
        const isTaken = faultOfTime(attributes(time)) === null;
        taken += isTaken ? 1 : 0;
        expect(isTaken).toBe(isExact(time));
      }),
      { numRuns: 20_000 },
    );
    expect(taken).toBeGreaterThan(0);
  });

  it.each(['2026-02-29T00:00:00.000Z', '2026-04-31T00:00:00.000Z', '2026-01-01T24:00:00.000Z'])(
    'is %s never: there is none',
    (time) => {
      expect(EventAttributes.safeParse(attributes(time)).success).toBe(false);
    },
  );

  it('is the one that the id says, and not far from now', () => {
    const now_ms = Date.parse('2026-03-01T12:00:00.000Z');
    const event = { ...attributes('2026-03-01T12:00:00.000Z'), id: newId(now_ms) };
    expect(faultOfId(event, now_ms)).toBeNull();
    expect(faultOfId(event, now_ms + 1)).toMatchObject({ code: 'id_time_mismatch' });
    expect(faultOfId(event, NaN)).toMatchObject({ code: 'id_time_mismatch' });
    expect(faultOfClock(now_ms + 600_000, now_ms)).toBeNull();
    expect(faultOfClock(now_ms + 600_001, now_ms)).toMatchObject({ code: 'clock_off' });
    expect(faultOfClock(now_ms - 400 * 86_400_000, now_ms)).toBeNull();
    expect(faultOfClock(now_ms - 400 * 86_400_000 - 1, now_ms)).toMatchObject({ code: 'clock_off' });
  });
});
