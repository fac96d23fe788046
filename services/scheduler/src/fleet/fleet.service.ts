import type { ApiParsed, ApiResponse, FleetPlanned } from '#libs/contracts';
import { TransactionRunner } from '#libs/persistence';
import { Injectable } from '@nestjs/common';
import { refusal } from '../errors.js';
import { OperationTracker } from '../operations/operation.tracker.js';
import type { Asker } from '../requests/asker.js';
import type { Change, Fact } from '../requests/change.js';
import { ChangesService } from '../requests/changes.service.js';
import { diffFleet, planVersion, toPlanChange, type FleetChange } from './fleet.diff.js';
import { checkQuotas } from './fleet.quotas.js';
import { FleetRepository } from './fleet.repository.js';
import { checkManifest } from './manifest.rules.js';

/** Largest plan as JSON; it has to fit one message. */
const plan_bytes_max = 768 * 1024;

/** Makes the fleet be as a manifest says, in two steps, so that a person sees what will change before it does. */
@Injectable()
export class FleetService {
  constructor(
    private readonly changes: ChangesService,
    private readonly transactions: TransactionRunner,
    private readonly fleet: FleetRepository,
    private readonly operations: OperationTracker,
  ) {}

  async plan({ manifest }: ApiParsed<'fleet.plan'>): Promise<FleetPlanned> {
    checkManifest(manifest);
    const now = await this.transactions.run(
      async (tx) => await this.fleet.snapshot(tx, manifest, { hold: false }),
      'REPEATABLE READ',
    );
    const { changes, unchanged } = diffFleet(manifest, now);
    checkQuotas(manifest, changes, now);
    const planned = { version: planVersion(manifest, now), changes: changes.map(toPlanChange), unchanged };
    if (Buffer.byteLength(JSON.stringify(planned)) > plan_bytes_max) throw refusal.planTooLarge();
    return planned;
  }

  /** Computes the plan again, under locks, and carries it out if its version is the one that was looked at. */
  async apply(request: ApiParsed<'fleet.apply'>, asker: Asker): Promise<ApiResponse<'fleet.apply'>> {
    const { manifest, version } = request;
    checkManifest(manifest);
    return await this.changes.carryOut('fleet.apply', request, asker, async (change) => {
      const now = await this.fleet.snapshot(change.tx, manifest, { hold: true });
      if (planVersion(manifest, now) !== version) throw refusal.stalePlan();
      const { changes } = diffFleet(manifest, now);
      checkQuotas(manifest, changes, now);
      const generations = await this.fleet.write(change.tx, changes, change.actor);
      const operation = await this.begin(change, changes, generations);
      await this.announce(change, changes, generations, operation);
      return { operation, changes: changes.map(toPlanChange) };
    });
  }

  private async begin(
    change: Change,
    changes: readonly FleetChange[],
    generations: ReadonlyMap<string, number>,
  ): Promise<string> {
    const targets = changes.flatMap((c) => {
      if (c.entity !== 'bot') return [];
      const goal = c.action === 'delete' ? ('deleted' as const) : c.bot.desired;
      return [{ bot: c.name, generation: generationOf(generations, c.name), goal }];
    });
    return await this.operations.begin(change.tx, change.asker, 'fleet.apply', targets);
  }

  private async announce(
    change: Change,
    changes: readonly FleetChange[],
    generations: ReadonlyMap<string, number>,
    operation: string,
  ): Promise<void> {
    await change.events(changes.map((c) => eventOf(c, generations, operation)));
  }
}

function eventOf(change: FleetChange, generations: ReadonlyMap<string, number>, operation: string): Fact {
  const { name } = change;
  switch (change.entity) {
    case 'tenant': {
      const type = change.action === 'create' ? 'tradefleet.tenant.created' : 'tradefleet.tenant.updated';
      return { type, id: name, data: { tenant: name, generation: change.generation } };
    }
    case 'account': {
      const data = { tenant: change.tenant, account: name, generation: 1, reason: null };
      return { type: 'tradefleet.account.created', id: name, data };
    }
    case 'bot': {
      const type = {
        create: 'tradefleet.bot.created' as const,
        update: 'tradefleet.bot.updated' as const,
        delete: 'tradefleet.bot.delete-requested' as const,
      }[change.action];
      const { tenant, account } = change.bot;
      const generation = generationOf(generations, name);
      return { type, id: name, data: { tenant, bot: name, account, generation, operation, reason: null } };
    }
  }
}

function generationOf(generations: ReadonlyMap<string, number>, bot: string): number {
  const generation = generations.get(bot);
  if (generation === undefined) throw new Error('A bot was changed without a generation');
  return generation;
}
