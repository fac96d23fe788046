import { Random } from '../planner/random.js';

export const targets = ['audit', 'nats', 'postgres'] as const;
export type Target = (typeof targets)[number];

/** What is killed at one time. */
export interface PlannedKills {
  /** In this order; all are down before the first is started again. */
  readonly targets: readonly Target[];
  /** When so much of all events has been written, 0 to 1. */
  readonly at: number;
  /** How long the last one stays down. */
  readonly down_ms: number;
  /** Everything JetStream has stored is deleted while NATS is down. */
  readonly losesStore: boolean;
}

export interface KillPlanOptions {
  readonly seed: number;
  /** At least `kills_min`. */
  readonly kills: number;
}

/** One of each, and one more that is down while the store is lost. */
export const kills_min = 3;
const down_ms_least = 200;
const down_ms_most = 2000;
/** The store is lost in the middle of the run, between these parts of it. */
const store_from = 0.3;
const store_to = 0.7;

/**
 * Spreads kills over a run: the events are divided into as many stretches as there are times to kill, and each time is
 * drawn within its stretch. Every target is met, about equally often. Once, the audit service is killed first and NATS
 * after it: so there is something in the store that nobody else has, when it is deleted.
 */
export function planKills({ seed, kills }: KillPlanOptions): PlannedKills[] {
  if (kills < kills_min) throw new RangeError(`There must be ${kills_min} kills at least.`);
  const random = new Random(seed);
  // Two of the kills are the audit service and NATS, at the time when the store is lost.
  const singles = singleTargets(random, kills - 2);
  const times = singles.length + 1;
  const storeTime = Math.floor(random.between(store_from, store_to) * times);
  return Array.from({ length: times }, (_, time) => {
    const losesStore = time === storeTime;
    const single = singles[time < storeTime ? time : time - 1];
    return {
      targets: losesStore ? ['audit', 'nats'] : single === undefined ? [] : [single],
      at: (time + random.next()) / times,
      down_ms: Math.round(random.between(down_ms_least, down_ms_most)),
      losesStore,
    };
  });
}

/** Postgres first: the other two are killed besides. */
function singleTargets(random: Random, count: number): Target[] {
  const drawn: Target[] = [];
  while (drawn.length < count)
    drawn.push('postgres', ...random.shuffled(targets.filter((one) => one !== 'postgres')));
  return random.shuffled(drawn.slice(0, count));
}
