import { type FaultKind, faultKinds, type FaultName, faultNames } from './fault.catalogue.js';
import { Random } from './random.js';

/** Which way a link is broken: nothing passes, the host hears nothing, or nobody hears the host. */
export type CutMode = 'cut' | 'deaf' | 'mute';
/** How long a fault lasts next to the lease. */
export type Span = 'shorter' | 'about' | 'longer';

/** A host by its number; or the one on which that bot runs when the fault is made. */
export type HostTarget = { readonly host: number } | { readonly hostOfBot: number };

export interface PlannedFault {
  /** From 1 on, through all rounds. */
  readonly number: number;
  readonly name: FaultName;
  readonly host: HostTarget | null;
  /** Of the bots there were at first. */
  readonly bot: number | null;
  readonly mode: CutMode;
  /** Null: it does not last. */
  readonly span: Span | null;
  readonly duration_ms: number;
  /** After the round has begun. */
  readonly delay_ms: number;
}

/** What a client does meanwhile. */
export type LoadName = 'stop' | 'lock' | 'update' | 'drain' | 'create';
export interface PlannedLoad {
  readonly name: LoadName;
  readonly bot: number;
  readonly host: number;
  readonly delay_ms: number;
}

/** One or two faults at once, and what a client asks for meanwhile; then everything is healed and must recover. */
export interface Round {
  readonly number: number;
  readonly faults: readonly PlannedFault[];
  readonly load: readonly PlannedLoad[];
}

export interface PlannerOptions {
  readonly seed: number;
  readonly hosts: number;
  readonly bots: number;
  /** T of the leases. */
  readonly ttl_ms: number;
  /** How often there are two faults at once, 0 to 1. */
  readonly pairs: number;
}

/** Of two at once: how often the second meets the host of the first one's bot, which breaks two layers of one bot. */
const same_place = 0.6;
const load_each_round = 0.6;
const loads: readonly { readonly name: LoadName; readonly weight: number }[] = [
  { name: 'stop', weight: 3 },
  { name: 'lock', weight: 2 },
  { name: 'update', weight: 3 },
  { name: 'drain', weight: 2 },
  { name: 'create', weight: 2 },
];
/** Parts of a lease. */
const spans: Readonly<Record<Span, readonly [number, number]>> = {
  shorter: [0.1, 0.6],
  about: [0.8, 1.4],
  longer: [1.5, 2.1],
};

/**
 * Draws rounds of faults from a seed, without end: the same options give the same rounds. Every kind comes once, in an
 * order of chance, before weights alone decide; so a short run has met them all.
 */
export class FaultPlanner {
  private readonly random: Random;
  private readonly unseen: FaultName[];
  private faults = 0;
  private rounds = 0;

  constructor(private readonly options: PlannerOptions) {
    this.random = new Random(options.seed);
    this.unseen = this.random.shuffled(faultNames);
  }

  next(): Round {
    const first = this.fault(null);
    const faults = [first];
    if (this.random.chance(this.options.pairs)) faults.push(this.fault(first));
    return { number: (this.rounds += 1), faults, load: this.load() };
  }

  private fault(beside: PlannedFault | null): PlannedFault {
    const { hosts, bots, ttl_ms } = this.options;
    const name = this.name(beside);
    const { scope, lasts }: FaultKind = faultKinds[name];
    const drawn = this.random.pick(['shorter', 'about', 'longer'] as const);
    const [least, most] = spans[drawn];
    const drawn_ms = Math.round(ttl_ms * this.random.between(least, most));
    const [span, duration_ms] = lasts ? [drawn, drawn_ms] : [null, 0];
    const mode = this.random.weighted(['cut', 'deaf', 'mute'] as const, (one) => (one === 'cut' ? 2 : 1));
    const bot = this.random.below(bots);
    const host = this.random.below(hosts);
    const together = this.random.chance(same_place);
    const delay_ms = beside === null ? 0 : Math.round(this.random.between(0, beside.duration_ms));
    const place = { host: null, bot: null } as { host: HostTarget | null; bot: number | null };
    if (scope === 'bot') place.bot = bot;
    if (scope === 'host') place.host = together && beside?.bot != null ? { hostOfBot: beside.bot } : { host };
    return { number: (this.faults += 1), name, ...place, mode, span, duration_ms, delay_ms };
  }

  /** Two faults at once are never of the same part, whichever hosts or bots they meet: it would be the same one. */
  private name(beside: PlannedFault | null): FaultName {
    const part = beside === null ? null : faultKinds[beside.name].part;
    const fits = (name: FaultName): boolean => faultKinds[name].part !== part;
    const due = this.unseen.find(fits);
    if (due !== undefined) {
      this.unseen.splice(this.unseen.indexOf(due), 1);
      return due;
    }
    return this.random.weighted(faultNames.filter(fits), (name) => faultKinds[name].weight);
  }

  private load(): PlannedLoad[] {
    const { hosts, bots, ttl_ms } = this.options;
    if (!this.random.chance(load_each_round)) return [];
    return [
      {
        name: this.random.weighted(loads, ({ weight }) => weight).name,
        bot: this.random.below(bots),
        host: this.random.below(hosts),
        delay_ms: Math.round(this.random.between(0, ttl_ms / 2)),
      },
    ];
  }
}
