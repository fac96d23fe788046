import type { Clock } from '#libs/clock';
import type { ClientLoad } from '../load/client.load.js';
import type { ChaosFleet } from '../parts/chaos.fleet.js';
import type { PlannedFault, PlannedLoad, Round } from '../planner/fault.planner.js';
import type { FaultName } from '../planner/fault.catalogue.js';
import type { FaultMade } from '../report/result.js';
import { type Aim, type Broken, FaultActions, NotMade } from './fault.actions.js';
import type { Recovery } from './recovery.js';

export interface RoundOutcome {
  readonly made: readonly FaultMade[];
  readonly notMade: readonly { readonly name: FaultName; readonly why: string }[];
}

interface Healed {
  readonly fault: PlannedFault;
  readonly target: string;
  readonly lasted_ms: number;
  readonly healed_ms: number;
}

const heal_ms_max = 90_000;
const heal_pause_ms = 500;

/** Makes the faults of one round, heals them, and waits until everything trades again. */
export class RoundRunner {
  constructor(
    private readonly fleet: ChaosFleet,
    private readonly actions: FaultActions,
    private readonly load: ClientLoad,
    private readonly recovery: Recovery,
    private readonly bots: readonly string[],
    private readonly recover_ms_max: number,
    private readonly clock: Clock,
  ) {}

  /** Throws when something cannot be healed, or does not recover. Whatever happens, what was broken is healed. */
  async run(round: Round, stop: AbortSignal): Promise<RoundOutcome> {
    // Before anything is broken, because then nobody may be able to say.
    const aims = await this.aimsOf(round);
    const notMade: { name: FaultName; why: string }[] = [];
    const work = [
      ...aims.map(async (aim) => await this.suffer(aim, notMade, stop)),
      ...round.load.map(async (one) => await this.ask(one, stop)),
    ];
    const outcomes = await Promise.allSettled(work);
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    stop.throwIfAborted();
    await this.load.settle();
    const healed = outcomes.flatMap((outcome) =>
      outcome.status === 'fulfilled' && outcome.value !== null ? [outcome.value] : [],
    );
    const last_ms = Math.max(...healed.map(({ healed_ms }) => healed_ms), 0);
    const since_ms = last_ms === 0 ? this.clock.monotonicMs() : last_ms;
    const well_ms = await this.recovery.wait(since_ms, this.recover_ms_max, stop);
    const made = healed.map(({ fault: { number, name, span }, target, lasted_ms }) => ({
      ...{ number, round: round.number, name, target, span, lasted_ms },
      recover_ms: well_ms - since_ms,
    }));
    return { made, notMade };
  }

  private async aimsOf({ faults }: Round): Promise<Aim[]> {
    const { bots } = await this.fleet.gateway.call('bots.list', { limit: 500 });
    const hostOf = (bot: number): string | null =>
      bots.find(({ name }) => name === this.bots[bot])?.status.host ?? null;
    return faults.map((fault) => {
      const { host, bot } = fault;
      const named =
        host === null
          ? null
          : 'host' in host
            ? (this.fleet.hosts[host.host]?.name ?? null)
            : hostOf(host.hostOfBot);
      return {
        fault,
        host: bot === null ? named : hostOf(bot),
        account: bot === null ? null : (this.bots[bot] ?? null),
      };
    });
  }

  private async suffer(
    aim: Aim,
    notMade: { name: FaultName; why: string }[],
    stop: AbortSignal,
  ): Promise<Healed | null> {
    const { fault } = aim;
    await this.pause(fault.delay_ms, stop);
    const begun_ms = this.clock.monotonicMs();
    let broken: Broken;
    try {
      broken = await this.actions.make(aim);
    } catch (error) {
      if (!(error instanceof NotMade)) throw error;
      notMade.push({ name: fault.name, why: error.message });
      return null;
    }
    await this.pause(fault.duration_ms, stop);
    await this.heal(fault, broken);
    const healed_ms = this.clock.monotonicMs();
    return { fault, target: broken.target, lasted_ms: healed_ms - begun_ms, healed_ms };
  }

  /** An engine that is broken by the other fault of the round cannot mend: so it is tried again. */
  private async heal(fault: PlannedFault, { target, heal }: Broken): Promise<void> {
    const give_up_ms = this.clock.monotonicMs() + heal_ms_max;
    for (;;) {
      try {
        await heal();
        return;
      } catch (error) {
        if (this.clock.monotonicMs() > give_up_ms)
          throw new Error(`${fault.name} of ${target} could not be healed`, { cause: error });
      }
      await this.clock.sleep(heal_pause_ms);
    }
  }

  private async ask(load: PlannedLoad, stop: AbortSignal): Promise<null> {
    await this.pause(load.delay_ms, stop);
    await this.load.perform(load);
    return null;
  }

  /** Shorter when the run is to end: what is broken is then healed at once. */
  private async pause(ms: number, stop: AbortSignal): Promise<void> {
    try {
      await this.clock.sleep(ms, stop);
    } catch (error) {
      if (!stop.aborted) throw error;
    }
  }
}
