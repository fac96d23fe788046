import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { newId } from '#libs/contracts';
import { AllocationService } from '../allocations/allocation.service.js';
import type { FleetSnapshot } from '../placement/fleet-snapshot.js';
import { FleetReader } from '../reconciliation/fleet.reader.js';
import { batch_rows_max, type Reconciler } from '../reconciliation/reconciler.js';
import { ReconciliationRepository } from '../reconciliation/reconciliation.repository.js';
import { RUNTIME_SETTINGS, type RuntimeSettings } from '../runtime.settings.js';
import { planDrains } from './drain.planner.js';
import { DrainService } from './drain.service.js';
import { MoveRepository, type MoveEnd } from './move.repository.js';
import type { MoveStanding } from './move.rows.js';
import { MoveService } from './move.service.js';
import { askAgainMsOf, verdictOf, type MoveVerdict } from './move.verdict.js';

/** Moves looked at in a pass; there are more only with very many drains at once. */
const moves_rows_max = 2000;
/** For so long a target that did not get ready is passed over for the same bot. */
const unready_remembered_ms = 10 * 60_000;
/** On their way to a target, as far as that keeps others from it. */
const busy: ReadonlySet<string> = new Set(['preparing', 'prepared', 'switching']);

interface Step {
  readonly move: MoveStanding;
  readonly verdict: MoveVerdict;
}

/**
 * Brings bots from one host to another: plans moves off hosts that are being drained, and takes every move that is
 * under way one step further. Comes after placement, so that bots that run nowhere have the room first. What no other
 * host can take goes on where it is and says why.
 */
@Injectable()
export class MoveReconciler implements Reconciler {
  readonly name = 'moves';

  constructor(
    private readonly moves: MoveRepository,
    private readonly service: MoveService,
    private readonly drains: DrainService,
    private readonly repository: ReconciliationRepository,
    private readonly fleet: FleetReader,
    private readonly allocations: AllocationService,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(RUNTIME_SETTINGS) private readonly settings: RuntimeSettings,
  ) {}

  async reconcile(): Promise<boolean> {
    await this.advance();
    // After that, so that those that have arrived make way for others at once.
    const planned = await this.planDrains();
    if (planned > 0) await this.advance();
    await this.drains.tell();
    return planned === batch_rows_max;
  }

  /** Answers how many were planned. */
  private async planDrains(): Promise<number> {
    const now = this.now();
    const since = new Date(now.getTime() - unready_remembered_ms);
    const staying = await this.repository.staying(since, batch_rows_max);
    if (staying.length === 0) return 0;
    const snapshot = await this.fleet.snapshot();
    const plan = planDrains(snapshot, staying, this.settings.placementStrategy, now);
    const moves = plan.moves.map(({ allocation, to, prepare, detail }) => ({
      id: newId(now.getTime()),
      allocation: allocation.id,
      to,
      reason: 'drain' as const,
      operation: null,
      by: allocation.drainBy,
      prepare,
      detail,
    }));
    const stops = plan.stops.map(({ id, drainBy }) => ({ id, reason: 'asked' as const, actor: drainBy }));
    const known = new Map(staying.map(({ bot, queuedReason }) => [bot, queuedReason]));
    const kept = plan.kept
      .map(({ bot, reason }) => ({ bot, reason: reason.slice(0, 300) }))
      .filter(({ bot, reason }) => known.get(bot) !== reason);
    const planned = moves.length > 0 ? await this.service.plan(moves) : 0;
    if (stops.length > 0) await this.allocations.stop(stops);
    if (kept.length > 0) await this.allocations.explainWaiting(kept);
    return planned;
  }

  private async advance(): Promise<void> {
    const underWay = await this.moves.underWay(moves_rows_max);
    if (underWay.length === 0) return;
    const steps = this.stepsOf(underWay, await this.fleet.snapshot());
    const ends = steps.flatMap(endOf);
    if (ends.length > 0) await this.service.end(ends);
    const switches = steps.flatMap(({ move, verdict }) =>
      verdict.next === 'switch' ? [{ move, detail: verdict.detail }] : [],
    );
    if (switches.length > 0) await this.service.switchOver(switches);
    const prepares = steps.flatMap(({ move, verdict }) => (verdict.next === 'prepare' ? [move.id] : []));
    if (prepares.length > 0) await this.service.prepare(prepares);
    const silent = steps.flatMap(({ move, verdict }) => (verdict.next === 'ask-again' ? [move.id] : []));
    if (silent.length > 0) await this.service.askAgain(silent);
  }

  private stepsOf(underWay: readonly MoveStanding[], snapshot: FleetSnapshot): Step[] {
    const now = this.now();
    const towards = new Map<string, number>();
    const count = (host: string): void => void towards.set(host, (towards.get(host) ?? 0) + 1);
    for (const { to, state } of underWay) if (busy.has(state)) count(to);
    return underWay.map((move) => {
      const target = snapshot.get(move.to);
      const verdict = verdictOf(move, {
        now,
        targetHeard: target?.heard ?? false,
        targetFits: target !== undefined && snapshot.isWithinCapacity(target.name),
        targetBusy: (towards.get(move.to) ?? 0) >= this.settings.movesPerTargetMax,
        askAgainMs: askAgainMsOf(this.settings.movePrepareMs),
      });
      if (verdict.next === 'prepare') count(move.to);
      return { move, verdict };
    });
  }

  private now(): Date {
    return new Date(this.clock.wallMs());
  }
}

function endOf({ move, verdict }: Step): MoveEnd[] {
  const none = { id: move.id, to: null, gapMs: null, failure: null, detail: null };
  switch (verdict.next) {
    case 'done':
      return [{ ...none, state: 'done', to: verdict.to, gapMs: verdict.gapMs }];
    case 'cancelled':
      return [{ ...none, state: 'cancelled', detail: verdict.detail }];
    case 'failed':
      // Only what another target may do better is held against this one.
      return [
        {
          ...none,
          state: 'failed',
          failure: verdict.failure === 'timeout' ? 'timeout' : null,
          detail: verdict.detail,
        },
      ];
    case 'wait':
    case 'prepare':
    case 'ask-again':
    case 'switch':
      return [];
  }
}
