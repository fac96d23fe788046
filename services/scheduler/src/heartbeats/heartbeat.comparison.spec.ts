import { describe, expect, it } from '@jest/globals';
import {
  AllocationState,
  endStates,
  isLive,
  liveStates,
  movesForward,
  type ObservedAllocation,
} from '#libs/contracts';
import { compareHeartbeat, type RecordedAllocation } from './heartbeat.comparison.js';

const now_ms = 1_000_000;
const recorded = (over: Partial<RecordedAllocation> = {}): RecordedAllocation => ({
  id: 'a',
  account: 'account',
  epoch: 3,
  state: 'running',
  attempt: 1,
  stopReason: null,
  stopDeadlineMs: null,
  ...over,
});
const observed = (over: Partial<ObservedAllocation> = {}): ObservedAllocation => ({
  id: 'a',
  account: 'account',
  epoch: 3,
  state: 'running',
  reason: null,
  detail: null,
  exitCode: null,
  attempt: 1,
  lastExit: null,
  observation: null,
  ...over,
});
const nothing = { leases: [], stop: [], advances: [], missing: [] };
const lease = { allocation: 'a', epoch: 3 };
const inGrace = { stopReason: 'asked' as const, stopDeadlineMs: now_ms + 1 };
const graceOver = { stopReason: 'asked' as const, stopDeadlineMs: now_ms };
const compare = (rows: RecordedAllocation[], seen: ObservedAllocation[]) =>
  compareHeartbeat(rows, seen, now_ms);

const pairs = liveStates.flatMap((db) => AllocationState.options.map((host) => [db, host] as const));

describe.each([
  ['wanted', {}, true],
  ['told to stop and in its grace', inGrace, true],
  ['told to stop, its grace over', graceOver, false],
])('a live allocation that is %s', (_what, stopping, renewed) => {
  it.each(pairs)('in the database %s, on the host %s', (db, host) => {
    const answer = compare([recorded({ state: db, ...stopping })], [observed({ state: host })]);
    expect(answer.leases).toEqual(isLive(host) && renewed ? [lease] : []);
    expect(answer.stop).toEqual(isLive(host) && !renewed ? ['a'] : []);
    const to = host === 'lost' ? 'failed' : host;
    expect(answer.advances.map((advance) => advance.state)).toEqual(movesForward(db, host) ? [to] : []);
    expect(answer.missing).toEqual([]);
  });

  it.each(liveStates)('in the database %s, not named by the host', (db) => {
    const row = recorded({ state: db, ...stopping });
    const onItsWay = db === 'placed' && row.stopDeadlineMs === null;
    expect(compare([row], [])).toEqual({ ...nothing, missing: onItsWay ? [] : [row] });
  });
});

describe('an allocation that the database has not, has ended, or has for another host', () => {
  it.each(liveStates)('is stopped when the host says %s', (state) => {
    expect(compare([], [observed({ state })])).toEqual({ ...nothing, stop: ['a'] });
  });
  it.each(endStates)('is let be when the host says %s', (state) => {
    expect(compare([], [observed({ state })])).toEqual(nothing);
  });
});

describe.each([
  ['an older epoch', { epoch: 2 }],
  ['a newer epoch', { epoch: 4 }],
  ['another account', { account: 'other' }],
])('an allocation that the host has under %s', (_what, other) => {
  const row = recorded();
  it.each(liveStates)('is stopped when it says %s, and gets no lease', (state) => {
    expect(compare([row], [observed({ ...other, state })])).toEqual({
      ...nothing,
      stop: ['a'],
      missing: [row],
    });
  });
  it.each(endStates)('changes nothing when it says %s', (state) => {
    expect(compare([row], [observed({ ...other, state })])).toEqual({ ...nothing, missing: [row] });
  });
});

it('learns of a later attempt, and of none that is past', () => {
  const exit = { attempt: 1, reason: 'exited', detail: null, exitCode: 70 } as const;
  const lastExit = { ...exit, at: new Date(0).toISOString(), nextTryAt: new Date(1).toISOString() };
  const seen = observed({ attempt: 2, lastExit });
  expect(compare([recorded()], [seen]).advances).toMatchObject([{ state: 'running', attempt: 2, lastExit }]);
  expect(compare([recorded({ attempt: 2 })], [seen]).advances).toEqual([]);
  expect(compare([recorded({ attempt: 3 })], [seen]).advances).toEqual([]);
});

it('gives an end the reason of the host, or else that for which it was told to stop', () => {
  const row = recorded({ ...inGrace });
  const end = { state: 'stopped' as const, exitCode: 0 };
  expect(compare([row], [observed({ ...end, reason: 'exited' })]).advances[0]?.reason).toBe('exited');
  expect(compare([row], [observed(end)]).advances[0]).toMatchObject({ reason: 'asked', exitCode: 0 });
});

it('renews nothing that the host names twice', () => {
  const answer = compare([recorded()], [observed(), observed({ epoch: 2 })]);
  expect(answer).toEqual({ ...nothing, stop: ['a'] });
});
