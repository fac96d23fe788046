import { describe, expect, it } from '@jest/globals';
import { RolloutOptions, type RolloutState } from '#libs/contracts';
import fc from 'fast-check';
import type { BotNow, BotTry } from './rollout.health.js';
import { decide, type Decision, type RolloutNow, type TargetNow } from './rollout.machine.js';

const options = (over: Partial<RolloutOptions> = {}): RolloutOptions =>
  RolloutOptions.parse({ minHealthyMs: 1000, progressDeadlineMs: 10_000, batchSize: 2, ...over });

const aTry = (over: Partial<BotTry> = {}): BotTry => ({
  allocation: 'a1',
  state: 'running',
  stage: null,
  attempt: 1,
  lastExit: null,
  reason: null,
  detail: null,
  ...over,
});
const aBotNow = (over: Partial<BotNow> = {}): BotNow => ({
  runtime: 'paper',
  createdAtMs: 1,
  generation: 1,
  desired: 'running',
  locked: false,
  tries: [aTry()],
  ...over,
});
const aTarget = (bot: string, over: Partial<TargetNow> = {}): TargetNow => ({
  bot,
  state: 'waiting',
  batch: null,
  createdAtMs: 1,
  generation: 1,
  changedGeneration: null,
  revertedGeneration: null,
  sinceMs: null,
  healthy: null,
  now: aBotNow(),
  ...over,
});
/** One that was changed at 0. */
const changing = (bot: string, tries: BotTry[], over: Partial<TargetNow> = {}): TargetNow =>
  aTarget(bot, {
    state: 'changing',
    batch: 0,
    changedGeneration: 2,
    sinceMs: 0,
    now: aBotNow({ generation: 2, tries }),
    ...over,
  });
const running = (over: Partial<RolloutNow> = {}): RolloutNow => ({
  state: 'running',
  options: options(),
  batch: 0,
  ...over,
});
const three = [aTarget('b'), aTarget('c'), aTarget('d')];

describe('a rollout that goes on', () => {
  it('begins with the canaries and nothing else', () => {
    const first = decide(running({ batch: null }), [aTarget('a'), ...three], 0);
    expect(first).toMatchObject({ change: { batch: 0, bots: ['a'] }, revert: [], next: null, marks: [] });
    const without = decide(running({ batch: null, options: options({ canary: 0 }) }), three, 0);
    expect(without.change).toEqual({ batch: 1, bots: ['b', 'c'] });
  });

  it('counts a canary as healthy after minHealthyMs of the same attempt, not before', () => {
    const fresh = decide(running(), [changing('a', [aTry()]), ...three], 500);
    const healthy = { allocation: 'a1', attempt: 1, sinceMs: 500 };
    expect(fresh).toMatchObject({
      marks: [{ bot: 'a', state: 'changing', reason: null, healthy }],
      change: null,
    });
    expect(decide(running(), [changing('a', [aTry()], { healthy }), ...three], 1499)).toEqual({
      marks: [],
      change: null,
      revert: [],
      next: null,
    });
    expect(decide(running(), [changing('a', [aTry()], { healthy }), ...three], 1500)).toMatchObject({
      marks: [{ bot: 'a', state: 'healthy' }],
      change: { batch: 1, bots: ['b', 'c'] },
    });
    // Another attempt, tolerated, or another allocation begins anew.
    const again = changing('a', [aTry({ attempt: 2, stage: 'trade-allowed' })], { healthy });
    const tolerant = running({ options: options({ restartsTolerated: 1 }) });
    expect(decide(tolerant, [again, ...three], 1500)).toMatchObject({
      marks: [{ state: 'changing', healthy: { attempt: 2, sinceMs: 1500 } }],
      change: null,
    });
    const moved = changing('a', [aTry({ allocation: 'a2' }), aTry({ state: 'lost', reason: 'host-lost' })], {
      healthy,
    });
    expect(decide(running(), [moved, ...three], 1500).marks).toMatchObject([
      { state: 'changing', healthy: { allocation: 'a2', sinceMs: 1500 } },
    ]);
  });

  it.each<[string, BotTry[]]>([
    ['is not placed yet', []],
    ['is on its way', [aTry({ state: 'starting', stage: 'terminal' })]],
    ['is being restarted by its host', [aTry({ attempt: 2, stage: 'container' })]],
    ['is being restarted and says nothing', [aTry({ attempt: 2 })]],
    ['lost its host', [aTry({ state: 'lost', reason: 'host-lost' })]],
    ['lost its lease', [aTry({ state: 'failed', reason: 'lease-ended' })]],
    ['was moved', [aTry({ state: 'stopped', reason: 'asked' })]],
  ])('waits for a bot that %s, until its time is over', (_, tries) => {
    const rollout = running({ options: options({ restartsTolerated: 5 }) });
    expect(decide(rollout, [changing('a', tries), ...three], 9999).marks).toEqual([]);
    expect(decide(rollout, [changing('a', tries), ...three], 10_000)).toMatchObject({
      marks: [{ state: 'failed', reason: 'It was not healthy within 10000 ms.' }],
      next: { state: 'reverting', reason: 'The canary a failed.' },
      change: null,
    });
  });

  it('takes an earlier stage as ready when it is told to', () => {
    const tries = [aTry({ state: 'starting', stage: 'login' })];
    const rollout = running({ options: options({ healthStage: 'terminal', minHealthyMs: 0 }) });
    expect(decide(rollout, [changing('a', tries)], 5).marks).toMatchObject([{ state: 'healthy' }]);
    expect(
      decide(running({ options: options({ minHealthyMs: 0 }) }), [changing('a', tries)], 5).marks,
    ).toEqual([]);
  });

  it.each<[string, BotTry[], string]>([
    [
      'exits',
      [aTry({ state: 'failed', reason: 'exited', detail: 'It ended with 1.' })],
      'exited: It ended with 1.',
    ],
    [
      'failed before it was placed again',
      [aTry({ allocation: 'a2' }), aTry({ state: 'failed', reason: 'image-missing' })],
      'image-missing',
    ],
    ['is restarted', [aTry({ attempt: 2, stage: 'trade-allowed' })], 'restarted once by its host'],
    [
      'is restarted again and again',
      [aTry({ attempt: 3, lastExit: { reason: 'exited', detail: 'code 1' } })],
      'restarted 2 times by its host after it ended: exited: code 1',
    ],
  ])('goes back when the canary %s', (_, tries, reason) => {
    const failed = decide(running(), [changing('a', tries), ...three], 100);
    expect(failed.marks).toMatchObject([{ bot: 'a', state: 'failed', reason }]);
    expect(failed).toMatchObject({ change: null, next: { state: 'reverting' } });
    const stays = decide(
      running({ options: options({ autoRevert: false }) }),
      [changing('a', tries), ...three],
      1,
    );
    expect(stays.next).toEqual({ state: 'failed', reason: 'The canary a failed.' });
  });

  it('tolerates as many failures as it is told to, of canaries none', () => {
    const healthy = aTarget('a', {
      state: 'healthy',
      batch: 0,
      changedGeneration: 2,
      now: aBotNow({ generation: 2 }),
    });
    const failed = (bot: string, batch = 1) => changing(bot, [], { state: 'failed', batch });
    const rollout = running({ batch: 1, options: options({ failuresTolerated: 1 }) });
    expect(decide(rollout, [healthy, failed('b'), aTarget('c')], 0).change).toEqual({
      batch: 2,
      bots: ['c'],
    });
    expect(decide(rollout, [healthy, failed('b')], 0).next).toEqual({
      state: 'succeeded',
      reason: '1 of 2 bots failed.',
    });
    expect(decide(rollout, [healthy, failed('b'), failed('c'), aTarget('d')], 0).next).toEqual({
      state: 'reverting',
      reason: 'Failed: b, c.',
    });
    expect(decide(rollout, [failed('a', 0), aTarget('c')], 0).next?.state).toBe('reverting');
  });

  it('hears of a healthy bot that fails later on', () => {
    const tries = [aTry({ state: 'failed', reason: 'out-of-memory' })];
    const late = changing('a', tries, { state: 'healthy' });
    expect(decide(running(), [late, aTarget('b')], 0)).toMatchObject({
      marks: [{ bot: 'a', state: 'failed', reason: 'out-of-memory' }],
      next: { state: 'reverting' },
    });
  });

  it.each<[string, Partial<TargetNow>]>([
    ['changed', { now: aBotNow({ generation: 7 }) }],
    ['removed', { now: null }],
    ['made anew under its name', { now: aBotNow({ createdAtMs: 9 }) }],
  ])('skips a bot that somebody %s, and takes another canary for it', (_, over) => {
    const before = decide(running({ batch: null }), [aTarget('a', over), ...three], 0);
    expect(before).toMatchObject({
      marks: [{ bot: 'a', state: 'skipped' }],
      change: { batch: 0, bots: ['b'] },
    });
    const during = decide(running(), [changing('a', [], over), ...three], 0);
    expect(during).toMatchObject({
      marks: [{ bot: 'a', state: 'skipped' }],
      change: { batch: 0, bots: ['b'] },
    });
  });

  it('watches nothing where nothing is to run', () => {
    const stopped = aBotNow({ generation: 2, desired: 'stopped', tries: [] });
    expect(decide(running(), [changing('a', [], { now: stopped })], 0).marks).toMatchObject([
      { state: 'healthy' },
    ]);
    const locked = aBotNow({ generation: 2, locked: true, tries: [] });
    expect(decide(running(), [changing('a', [], { now: locked })], 0).marks).toMatchObject([
      { state: 'skipped' },
    ]);
  });

  it('changes nothing while it is paused, whatever fails and however long it takes', () => {
    const failed = changing('a', [aTry({ state: 'failed', reason: 'exited' })]);
    for (const target of [failed, changing('a', [])]) {
      const decision = decide(running({ state: 'paused' }), [target, ...three], 1_000_000);
      expect(decision).toMatchObject({ change: null, revert: [], next: null });
    }
  });
});

describe('a rollout that goes back', () => {
  const reverting = running({ state: 'reverting', batch: 1 });
  const changed = (bot: string, state: TargetNow['state'], over: Partial<TargetNow> = {}) =>
    changing(bot, [aTry()], { state, batch: 1, ...over });

  it('changes back what it changed and nobody else has since, no more than a batch at a time', () => {
    const targets = [
      changed('a', 'healthy'),
      changed('b', 'healthy'),
      changed('c', 'failed'),
      changed('d', 'failed', { now: aBotNow({ generation: 3 }) }),
      aTarget('e'),
    ];
    expect(decide(reverting, targets, 0)).toMatchObject({ revert: ['c', 'b'], change: null, next: null });
    const under = targets.map((t) =>
      ['b', 'c'].includes(t.bot)
        ? {
            ...t,
            state: 'reverting' as const,
            revertedGeneration: 3,
            now: aBotNow({ generation: 3, tries: [] }),
          }
        : t,
    );
    expect(decide(reverting, under, 0)).toMatchObject({ revert: [], next: null });
  });

  it('ends when all are back, and says when one is not', () => {
    const back = changed('a', 'reverting', { revertedGeneration: 3, now: aBotNow({ generation: 3 }) });
    expect(decide(reverting, [back, aTarget('b')], 5)).toMatchObject({
      marks: [{ bot: 'a', state: 'reverted' }],
      next: { state: 'reverted', reason: null },
    });
    const broken = aBotNow({ generation: 3, tries: [aTry({ state: 'failed', reason: 'exited' })] });
    expect(decide(reverting, [{ ...back, now: broken }], 5)).toMatchObject({
      marks: [{ bot: 'a', state: 'failed', reason: 'It did not come back: exited' }],
      next: { state: 'failed' },
    });
    const silent = aBotNow({ generation: 3, tries: [] });
    expect(decide(reverting, [{ ...back, now: silent }], 9999).next).toBeNull();
    expect(decide(reverting, [{ ...back, now: silent }], 10_000).next?.state).toBe('failed');
  });
});

/** A fleet that does what the decisions say, and what a script of misfortunes does to it. */
class World {
  readonly targets: TargetNow[];
  state: RolloutState = 'running';
  batch: number | null = null;
  now_ms = 0;
  /** When each bot began to be ready without a break, by the world's own account. */
  readonly readySince = new Map<string, number>();
  readonly touched = new Set<string>();
  readonly reverted = new Set<string>();
  readonly taken = new Set<string>();
  inFlightMost = 0;
  private allocations = 0;

  constructor(
    count: number,
    readonly options: RolloutOptions,
    private readonly broken: (bot: number) => boolean,
  ) {
    this.targets = Array.from({ length: count }, (_, n) => aTarget(`bot-${n}`));
  }

  /** Whether every canary that was needed had been ready for long enough. */
  private canariesWereHealthy(): boolean {
    const canaries = this.targets.filter((t) => t.batch === 0 && !this.taken.has(t.bot));
    return canaries.every(
      (t) => this.now_ms - (this.readySince.get(t.bot) ?? Infinity) >= this.options.minHealthyMs,
    );
  }

  apply(decision: Decision): void {
    for (const mark of decision.marks) this.put(mark.bot, mark);
    if (decision.change !== null) {
      const { batch, bots } = decision.change;
      if (batch > 0) {
        expect(this.canariesWereHealthy()).toBe(true);
        const canaries = this.targets.filter((t) => t.batch === 0 && t.state === 'healthy');
        expect(canaries).toHaveLength(this.options.canary);
      }
      this.batch = batch;
      for (const bot of bots) {
        this.touched.add(bot);
        const generation = this.target(bot).generation + 1;
        this.put(bot, {
          state: 'changing',
          batch,
          changedGeneration: generation,
          sinceMs: this.now_ms,
          now: aBotNow({ generation, tries: [] }),
        });
        this.readySince.delete(bot);
      }
    }
    for (const bot of decision.revert) {
      expect(this.touched.has(bot) && !this.taken.has(bot) && !this.reverted.has(bot)).toBe(true);
      this.reverted.add(bot);
      const generation = (this.target(bot).changedGeneration ?? 0) + 1;
      this.put(bot, {
        state: 'reverting',
        revertedGeneration: generation,
        sinceMs: this.now_ms,
        now: aBotNow({ generation, tries: [] }),
      });
    }
    if (decision.next !== null) this.state = decision.next.state;
    const inFlight = this.targets.filter((t) => t.state === 'changing' || t.state === 'reverting').length;
    this.inFlightMost = Math.max(this.inFlightMost, inFlight);
  }

  /** Bots get on: new ones run after a while, broken ones fail, each in its own time. */
  live(n: number, luck: number): void {
    const target = this.targets[n];
    if (target === undefined || target.now === null) return;
    const { now } = target;
    const [newest] = now.tries;
    const isNew = now.generation === target.changedGeneration;
    let tries = now.tries;
    if (newest === undefined || !['running', 'placed'].includes(newest.state)) {
      tries = [aTry({ allocation: `a${(this.allocations += 1)}`, state: 'placed' }), ...now.tries];
    } else if (newest.state === 'placed') {
      tries = [{ ...newest, state: 'running' }, ...now.tries.slice(1)];
    } else if (isNew && this.broken(n)) {
      tries = [{ ...newest, state: 'failed', reason: 'exited' }, ...now.tries.slice(1)];
    } else if (luck === 0) {
      tries = [{ ...newest, state: 'lost', reason: 'host-lost' }, ...now.tries.slice(1)];
    }
    if (isNew && tries[0]?.state === 'running') {
      if (!this.readySince.has(target.bot)) this.readySince.set(target.bot, this.now_ms);
    } else if (isNew && target.state !== 'healthy') this.readySince.delete(target.bot);
    this.put(target.bot, { now: { ...now, tries } });
  }

  /** A person changes the bot. */
  take(n: number): void {
    const target = this.targets[n];
    if (target?.now == null) return;
    this.taken.add(target.bot);
    this.put(target.bot, { now: { ...target.now, generation: target.now.generation + 1 } });
  }

  private target(bot: string): TargetNow {
    const found = this.targets.find((t) => t.bot === bot);
    if (found === undefined) throw new Error(`no ${bot}`);
    return found;
  }

  private put(bot: string, over: Partial<TargetNow>): void {
    const at = this.targets.findIndex((t) => t.bot === bot);
    this.targets[at] = { ...this.target(bot), ...over };
  }
}

describe('any rollout', () => {
  const misfortune = fc.record({
    at: fc.nat(60),
    kind: fc.constantFrom('take', 'pause', 'lose'),
    bot: fc.nat(11),
  });
  const story = fc.record({
    count: fc.integer({ min: 1, max: 12 }),
    canary: fc.nat(2),
    batchSize: fc.integer({ min: 2, max: 4 }),
    minHealthyMs: fc.constantFrom(0, 700, 3000),
    failuresTolerated: fc.nat(2),
    autoRevert: fc.boolean(),
    broken: fc.subarray(Array.from({ length: 12 }, (_, n) => n)),
    misfortunes: fc.array(misfortune, { maxLength: 8 }),
  });

  it('keeps its bounds, touches nothing before its canaries are healthy, reverts just what it changed, and ends', () => {
    fc.assert(
      fc.property(story, ({ count, broken, misfortunes, ...rest }) => {
        const world = new World(count, options(rest), (n) => broken.includes(n));
        let steps = 0;
        for (; steps < 2000 && ['running', 'paused', 'reverting'].includes(world.state); steps += 1) {
          const now = misfortunes.filter(({ at }) => at === steps);
          for (const { bot } of now.filter(({ kind }) => kind === 'take')) world.take(bot % count);
          const paused = now.some(({ kind }) => kind === 'pause') && world.state === 'running';
          for (let n = 0; n < count; n += 1) {
            const lost = now.some(({ kind, bot }) => kind === 'lose' && bot % count === n);
            world.live(n, lost ? 0 : 1);
          }
          const state = paused ? 'paused' : (world.state as 'running' | 'reverting');
          const decision = decide(
            { state, options: world.options, batch: world.batch },
            world.targets,
            world.now_ms,
          );
          if (paused) expect(decision).toMatchObject({ change: null, revert: [], next: null });
          world.apply(decision);
          world.now_ms += 250;
        }
        expect(['succeeded', 'reverted', 'failed']).toContain(world.state);
        expect(world.inFlightMost).toBeLessThanOrEqual(world.options.batchSize);
        if (world.state === 'reverted') {
          // All that it changed and nobody took is as it was before, and nothing else was touched.
          for (const bot of world.touched) expect(world.reverted.has(bot) || world.taken.has(bot)).toBe(true);
        }
        if (world.state === 'succeeded') {
          const failed = world.targets.filter((t) => t.state === 'failed');
          expect(failed.length).toBeLessThanOrEqual(world.options.failuresTolerated);
          expect(world.targets.every((t) => !['waiting', 'changing'].includes(t.state))).toBe(true);
          expect(world.reverted.size).toBe(0);
        }
        for (const target of world.targets)
          if (target.state === 'waiting') expect(world.touched.has(target.bot)).toBe(false);
      }),
      { numRuns: 1000 },
    );
  });
});
