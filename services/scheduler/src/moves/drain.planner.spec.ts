import { describe, expect, it } from '@jest/globals';
import { FleetSnapshot, type HostFacts } from '../placement/fleet-snapshot.js';
import type { DrainingAllocation } from '../reconciliation/reconciliation.repository.js';
import { planDrains } from './drain.planner.js';

const now = new Date('2026-01-01T12:00:00Z');
const aHost = (name: string, bots = 10): HostFacts => ({
  name,
  state: 'ready',
  heard: true,
  runtimes: ['paper'],
  labels: {},
  capacity: { cpuMillis: 10_000, memoryMiB: 10_000, bots },
  reserved: { cpuMillis: 0, memoryMiB: 0, bots: 0 },
  tenants: new Map(),
});
const staying = (over: Partial<DrainingAllocation> = {}): DrainingAllocation => ({
  id: `allocation-${over.bot ?? 'bot'}`,
  host: 'drained',
  bot: 'bot',
  tenant: 'acme',
  runtime: 'paper',
  version: null,
  resources: { cpuMillis: 100, memoryMiB: 100 },
  constraints: [],
  antiAffinity: 'none',
  queuedReason: null,
  drainBy: 'user:ops',
  drainPrepare: true,
  drainParallel: 2,
  deadlineAt: null,
  onDeadline: 'keep',
  moving: 0,
  unready: [],
  ...over,
});
const plan = (hosts: readonly HostFacts[], allocations: readonly DrainingAllocation[]) =>
  planDrains(new FleetSnapshot(hosts), allocations, 'spread', now);
const many = (count: number, over: Partial<DrainingAllocation> = {}) =>
  Array.from({ length: count }, (_, n) => staying({ bot: `bot-${n}`, ...over }));

describe('a plan of drains', () => {
  it('sends as many as may be on their way, those that are counted', () => {
    expect(plan([aHost('a')], many(5)).moves).toHaveLength(2);
    expect(plan([aHost('a')], many(5, { moving: 1 })).moves).toHaveLength(1);
    expect(plan([aHost('a')], many(5, { moving: 2 })).moves).toEqual([]);
    const two = [...many(3), ...many(3, { host: 'other' })];
    expect(plan([aHost('a')], two).moves).toHaveLength(4);
  });

  it('sends no more than fit, and says of the others why they stay', () => {
    const { moves, kept, stops } = plan([aHost('a', 1)], many(2));
    expect(moves).toHaveLength(1);
    expect(kept).toEqual([
      { bot: 'bot-1', reason: 'Host drained is draining, and no other can take it: 1 host: 1 full of bots' },
    ]);
    expect(stops).toEqual([]);
  });

  it('never sends a bot back to where it is', () => {
    expect(plan([aHost('drained')], [staying()]).moves).toEqual([]);
  });

  it('passes over a target that did not get ready, and goes without after two', () => {
    const failed = (host: string) => ({ host, failure: 'timeout', detail: `${host} was slow` });
    const hosts = [aHost('a'), aHost('b'), aHost('c')];
    expect(plan(hosts, [staying({ unready: [failed('a')] })]).moves).toEqual([
      expect.objectContaining({ to: 'b', prepare: true, detail: null }),
    ]);
    expect(plan(hosts, [staying({ unready: [failed('b'), failed('a')] })]).moves).toEqual([
      expect.objectContaining({ to: 'a', prepare: false, detail: 'Moved unprepared: b: b was slow' }),
    ]);
    expect(plan([aHost('a')], [staying({ unready: [failed('a')] })]).moves).toEqual([
      expect.objectContaining({ to: 'a', prepare: false, detail: 'Moved unprepared: a: a was slow' }),
    ]);
  });

  it('goes to no host that has not the image, whatever else', () => {
    const unready = [{ host: 'a', failure: 'image-missing', detail: null }];
    const { moves, kept } = plan([aHost('a')], [staying({ unready })]);
    expect(moves).toEqual([]);
    expect(kept[0]?.reason).toContain('Without its image: a.');
    const due = { deadlineAt: now, onDeadline: 'stop' as const };
    expect(plan([aHost('a')], [staying({ unready, ...due })]).stops).toHaveLength(1);
  });

  it('at the deadline of a drain that stops sends all at once, unprepared, and stops the rest', () => {
    const due = { deadlineAt: now, onDeadline: 'stop' as const };
    const { moves, stops, kept } = plan([aHost('a', 3)], many(5, due));
    expect(moves.map(({ prepare, detail }) => [prepare, detail])).toEqual(
      Array.from({ length: 3 }, () => [false, 'The time of the drain was up.']),
    );
    expect(stops).toHaveLength(2);
    expect(kept).toEqual([]);
  });

  it('at the deadline of a drain that keeps goes on as before', () => {
    const { moves, stops, kept } = plan([aHost('a', 1)], many(3, { deadlineAt: now, drainParallel: 3 }));
    expect(moves).toEqual([expect.objectContaining({ prepare: true })]);
    expect(stops).toEqual([]);
    expect(kept).toHaveLength(2);
  });

  it('prepares nothing when that is not wanted', () => {
    expect(plan([aHost('a')], [staying({ drainPrepare: false })]).moves).toEqual([
      expect.objectContaining({ prepare: false, detail: null }),
    ]);
  });
});
