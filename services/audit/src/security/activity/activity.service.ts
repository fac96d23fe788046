import { CLOCK, type Clock } from '#libs/clock';
import type { UnusualActivityEventData, UnusualRule } from '#libs/contracts';
import { Outbox, OutboxRelay, TransactionRunner, type NewEvent, type Transaction } from '#libs/persistence';
import { LOGGER, type Logger } from '#libs/telemetry';
import { Inject, Injectable } from '@nestjs/common';
import { AUDIT_CONFIG, type AuditConfig } from '../../audit.config.js';
import { ActivityRepository, type GrownHour, type HourCount, type Standing } from './activity.repository.js';
import { addTimes, quiet, type Burst, type BurstRule } from './burst.js';
import { producerOf, signalsOf, type BurstRuleName, type Signal, type SignalRow } from './signals.js';
import { volumeThreshold } from './volume.js';

/** Records looked at in one transaction. */
const step_records_max = 20_000;
/** Transactions in one look: the rest has the next one. */
const steps_max = 100;
const hour_ms = 3_600_000;
const quiet_ms = 24 * hour_ms;
const volume_kept_ms = 8 * 24 * hour_ms;

const descriptions: Record<BurstRuleName, string> = {
  'failed-logins': 'requests without valid credentials',
  'connection-rate': 'registrations, joins or sessions',
  'error-rate': 'events of failures and refusals',
};

/**
 * Looks for unusual activity in what was recorded since the last look. What was counted, how far was looked and what is
 * told of are one transaction: so each record counts once, and each window is told of once, whatever stops in between and
 * however many processes look.
 */
@Injectable()
export class ActivityService {
  private readonly settings: AuditConfig['unusualActivity'];
  private readonly rules: Readonly<Record<BurstRuleName, BurstRule>>;

  constructor(
    private readonly repository: ActivityRepository,
    private readonly transactions: TransactionRunner,
    private readonly outbox: Outbox,
    private readonly relay: OutboxRelay,
    @Inject(AUDIT_CONFIG) config: Pick<AuditConfig, 'unusualActivity'>,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.settings = config.unusualActivity;
    const { failedLogins, connectionRate, errorRate } = this.settings;
    this.rules = {
      'failed-logins': failedLogins,
      'connection-rate': connectionRate,
      'error-rate': errorRate,
    };
  }

  /** Before the first look ever: what was recorded earlier is not judged. */
  async begin(): Promise<void> {
    await this.transactions.run(async (tx) => await this.repository.begin(tx));
  }

  /** Looks at all that is new, up to a bound, or until it is to end. */
  async look(signal: AbortSignal): Promise<void> {
    for (let steps = 0; steps < steps_max && !signal.aborted; steps += 1) {
      const told = await this.transactions.run(async (tx) => await this.step(tx));
      if (told === null) return;
      if (told.length === 0) continue;
      for (const { data } of told) this.logger.warn({ ...data }, 'unusual activity');
      this.relay.wake();
    }
  }

  /** Null: there is nothing new, or another process looks. */
  private async step(tx: Transaction): Promise<Told[] | null> {
    const from = await this.repository.hold(tx);
    if (from === null) return null;
    const to = Math.min(await this.repository.size(), from + step_records_max);
    if (to <= from) return null;
    const { signals, hours } = await this.repository.read(from, to);
    const now = new Date(this.clock.wallMs());
    const told = [...(await this.bursts(tx, signals, now)), ...(await this.volumes(tx, hours))];
    if (told.length > 0) await this.outbox.events(tx, told);
    await this.repository.move(tx, to);
    await this.repository.forget(tx, {
      quietSince: new Date(now.getTime() - quiet_ms),
      hoursBefore: new Date(now.getTime() - volume_kept_ms),
    });
    return told;
  }

  private async bursts(tx: Transaction, rows: readonly SignalRow[], now: Date): Promise<Told[]> {
    const timesOf = new Map<string, { signal: Signal; times: number[] }>();
    for (const row of rows)
      for (const signal of signalsOf(row)) {
        const key = `${signal.rule} ${signal.who}`;
        const entry = timesOf.get(key) ?? { signal, times: [] };
        entry.times.push(row.time.getTime());
        timesOf.set(key, entry);
      }
    if (timesOf.size === 0) return [];
    const signals = [...timesOf.values()].map(({ signal }) => signal);
    const before = new Map(
      (await this.repository.standings(tx, signals)).map(({ rule, who, state }) => [`${rule} ${who}`, state]),
    );
    const standings: Standing[] = [];
    const told: Told[] = [];
    for (const [key, { signal, times }] of timesOf) {
      const { state, bursts } = addTimes(before.get(key) ?? quiet, times, this.rules[signal.rule]);
      standings.push({ ...signal, state });
      told.push(...bursts.map((burst) => this.tellBurst(signal, burst)));
    }
    await this.repository.keep(tx, standings, now);
    return told;
  }

  private async volumes(tx: Transaction, counts: readonly HourCount[]): Promise<Told[]> {
    const hours = counts.map(({ source, hour, events }) => ({ who: producerOf(source), hour, events }));
    const { volume } = this.settings;
    const told: Told[] = [];
    const toldHours: GrownHour[] = [];
    for (const grown of await this.repository.addHours(tx, hours, volume.eventsMin)) {
      const threshold = volumeThreshold(grown, volume);
      if (threshold === null || grown.events <= threshold) continue;
      toldHours.push(grown);
      told.push(tellVolume(grown, threshold));
    }
    await this.repository.markTold(tx, toldHours);
    return told;
  }

  private tellBurst({ rule, who }: Signal, { from, to, count }: Burst): Told {
    const { threshold, windowMs } = this.rules[rule];
    return tell(rule, {
      ...{ rule, who, count, threshold },
      ...{ from: new Date(from).toISOString(), to: new Date(to).toISOString() },
      detail: `${count} ${descriptions[rule]} within ${windowMs / 1000} s; ${threshold} are unusual.`,
    });
  }
}

type Told = Extract<NewEvent, { type: 'tradefleet.security.unusual-activity' }>;

function tellVolume({ who, hour, events }: GrownHour, threshold: number): Told {
  return tell('unusual-volume', {
    ...{ rule: 'unusual-volume', who, count: events, threshold },
    ...{ from: hour.toISOString(), to: new Date(hour.getTime() + hour_ms).toISOString() },
    detail: `${events} events in an hour so far; more than ${threshold} are unusual for it.`,
  });
}

const tell = (rule: UnusualRule, data: UnusualActivityEventData): Told => ({
  ...{ type: 'tradefleet.security.unusual-activity', id: rule, data, actor: 'service:audit' },
});
