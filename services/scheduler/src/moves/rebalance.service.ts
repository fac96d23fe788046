import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { newId, type ApiParsed, type ApiResponse, type RebalanceMove } from '#libs/contracts';
import { refusal } from '../errors.js';
import { ObservationStore } from '../heartbeats/observation.store.js';
import { OperationTracker } from '../operations/operation.tracker.js';
import { FleetSnapshot } from '../placement/fleet-snapshot.js';
import { ReconciliationRepository } from '../reconciliation/reconciliation.repository.js';
import type { Asker } from '../requests/asker.js';
import { canonicalHash } from '../requests/canonical-json.js';
import { ChangesService } from '../requests/changes.service.js';
import { RUNTIME_SETTINGS, type RuntimeSettings } from '../runtime.settings.js';
import { MovePlanning } from './move-planning.service.js';
import { moveEventData } from './move.rows.js';
import { planRebalance, type ChosenMove, type Rebalancing } from './rebalance.planner.js';
import { RebalanceRepository } from './rebalance.repository.js';

type Asked = ApiParsed<'fleet.rebalance-plan'>;

/** Spreads the load of the hosts, in two steps, so that a person sees which bots will have a gap before they do. */
@Injectable()
export class RebalanceService {
  constructor(
    private readonly changes: ChangesService,
    private readonly fleet: ReconciliationRepository,
    private readonly rebalances: RebalanceRepository,
    private readonly planning: MovePlanning,
    private readonly operations: OperationTracker,
    private readonly observations: ObservationStore,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(RUNTIME_SETTINGS) private readonly settings: RuntimeSettings,
  ) {}

  async plan({ movesMax, tolerancePercent, ranForMs }: Asked): Promise<ApiResponse<'fleet.rebalance-plan'>> {
    const asked = { movesMax, tolerancePercent, ranForMs };
    const plan = await this.compute(asked);
    const { hosts, spread } = plan;
    return { version: versionOf(asked, plan), moves: plan.moves.map(shown), hosts: [...hosts], spread };
  }

  /**
   * Computes the plan again and carries it out if its version is the one that was looked at. The moves begin as planned:
   * the reconciler, which alone places, looks once more whether each target has the room.
   */
  async carryOut(
    request: ApiParsed<'fleet.rebalance'>,
    asker: Asker,
  ): Promise<ApiResponse<'fleet.rebalance'>> {
    const { movesMax, tolerancePercent, ranForMs, version, prepare } = request;
    const asked = { movesMax, tolerancePercent, ranForMs };
    return await this.changes.carryOut('fleet.rebalance', request, asker, async (change) => {
      const plan = await this.compute(asked);
      if (versionOf(asked, plan) !== version) throw refusal.staleRebalance();
      const operation = newId();
      const now = new Date(this.clock.wallMs());
      const wanted = plan.moves.map(({ movable, to }) => ({
        id: newId(now.getTime()),
        allocation: movable.allocation,
        to,
        reason: 'rebalance' as const,
        operation,
        by: change.actor,
        prepare,
        detail: null,
      }));
      const planned = await this.planning.plan(change.tx, wanted, now);
      // One of them has ended, is to stop or has begun to move since, or its target has got full: what is left is not
      // what was looked at.
      if (planned.length !== wanted.length) throw refusal.staleRebalance();
      await change.events(
        planned.map((move) => ({
          type: 'tradefleet.move.planned' as const,
          id: move.id,
          data: moveEventData(move),
        })),
      );
      const targets = plan.moves.map(({ movable: { bot, generation, host } }) => ({
        bot,
        generation,
        goal: 'moved' as const,
        host,
      }));
      await this.operations.begin(change.tx, change.asker, 'fleet.rebalance', targets, operation);
      return { operation, moves: plan.moves.map(shown) };
    });
  }

  private async compute({ movesMax, tolerancePercent, ranForMs }: Asked): Promise<Rebalancing> {
    const now_ms = this.clock.wallMs();
    const isHeard = (host: string): boolean => {
      const at = this.observations.lastHeartbeatAt(host);
      return at !== null && now_ms - at.getTime() < this.settings.leaseTtlMs;
    };
    const snapshot = new FleetSnapshot(await this.fleet.hosts(isHeard));
    const movable = await this.rebalances.movable(new Date(now_ms - ranForMs));
    return planRebalance(snapshot, movable, { movesMax, tolerancePercent });
  }
}

const shown = ({ movable: { bot, generation, host }, to }: ChosenMove): RebalanceMove => ({
  bot,
  generation,
  from: host,
  to,
});

/** Over what was asked, every move with the allocation it would end, and the loads they were chosen by. */
const versionOf = (asked: Asked, { moves, hosts }: Rebalancing): string =>
  canonicalHash({
    asked,
    moves: moves.map((move) => ({ ...shown(move), allocation: move.movable.allocation })),
    hosts,
  });
