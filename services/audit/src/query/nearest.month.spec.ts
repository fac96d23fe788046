import { describe, expect, it } from '@jest/globals';
import { nearest, newestMonths } from './nearest.month.js';

const now_ms = Date.parse('2026-03-15T12:00:00.000Z');
const after = { time: '2025-12-31T23:59:59.999Z', id: '0190a0a0-0000-7000-8000-000000000001', size: 9 };
const of = (filter: object, place: typeof after | null, order: 'asc' | 'desc') =>
  nearest({ type: 't', ...filter }, { after: place, order }, now_ms);

describe('nearest', () => {
  it('is the month in which the page before ended', () => {
    expect(of({}, after, 'asc')).toEqual({ type: 't', to: '2026-01-01T00:00:00.000Z' });
    expect(of({}, after, 'desc')).toEqual({ type: 't', from: '2025-12-01T00:00:00.000Z' });
  });

  it('is this month for the newest, and that of the beginning for the oldest', () => {
    expect(of({}, null, 'desc')).toEqual({ type: 't', from: '2026-03-01T00:00:00.000Z' });
    const past = { to: '2026-02-01T00:00:00.000Z' };
    expect(of(past, null, 'desc')).toEqual({ type: 't', ...past, from: '2026-02-01T00:00:00.000Z' });
    expect(of({ to: '2099-01-01T00:00:00Z' }, null, 'desc')).toMatchObject({
      from: '2026-03-01T00:00:00.000Z',
    });
    const from = '2025-02-28T10:00:00.000Z';
    expect(of({ from }, null, 'asc')).toEqual({ type: 't', from, to: '2025-03-01T00:00:00.000Z' });
  });

  it('is none where it is the range itself, or nobody knows', () => {
    expect(of({}, null, 'asc')).toBeNull();
    expect(of({ from: '2026-03-10T00:00:00.000Z' }, null, 'desc')).toBeNull();
    expect(of({ from: '2026-03-10T00:00:00.000Z', to: '2026-03-11T00:00:00Z' }, null, 'asc')).toBeNull();
  });
});

describe('newestMonths', () => {
  const since = '2026-02-01T00:00:00.000Z';

  it('begin with the month before this one', () => {
    expect(newestMonths({ type: 't' }, now_ms)).toEqual({ type: 't', from: since });
    expect(newestMonths({ from: '2020-01-01T00:00:00Z' }, now_ms)).toEqual({ from: since });
    const january = Date.parse('2026-01-31T23:59:59.999Z');
    expect(newestMonths({}, january)).toEqual({ from: '2025-12-01T00:00:00.000Z' });
  });

  it('are none where they would leave nothing out, or all', () => {
    expect(newestMonths({ from: since }, now_ms)).toBeNull();
    expect(newestMonths({ to: since }, now_ms)).toBeNull();
  });
});
