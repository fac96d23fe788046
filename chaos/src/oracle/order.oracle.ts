import { z } from 'zod';

/** An order as the bot's terminal sends it. Nothing in it is believed but whose it says it is. */
export const Order = z.strictObject({
  account: z.string().min(1).max(63),
  epoch: z.int().min(1),
  allocation: z.string().min(1).max(64),
  /** Made up at the start of the bot's process. */
  instance: z.string().regex(/^[0-9a-f]{16}$/),
  /** Counts within the instance. */
  order: z.int().min(1),
  /** When the bot sent it, CLOCK_BOOTTIME of its host. */
  boottimeMs: z.int().min(0),
});
export type Order = z.infer<typeof Order>;

/** Two that traded one account at once, as far as the broker can tell. */
export interface Overlap {
  readonly kind: 'older-epoch' | 'two-allocations' | 'instances-interleave';
  readonly account: string;
  /** When the order arrived, milliseconds of the oracle's own clock. */
  readonly at_ms: number;
  readonly order: Order;
  /** What had been there before. */
  readonly after: {
    readonly epoch: number;
    readonly allocation: string;
    readonly instance: string;
    readonly at_ms: number;
  };
}

/** From the last order of one epoch to the first of the next. */
export interface Handover {
  readonly account: string;
  readonly from: number;
  readonly to: number;
  readonly gap_ms: number;
}

interface Trading {
  epoch: number;
  allocation: string;
  instance: string;
  /** Instances of this epoch that another has followed. */
  readonly followed: Set<string>;
  at_ms: number;
}

const overlaps_kept = 1000;
const handovers_kept = 100_000;

/**
 * Says whether two bots ever traded one account at once, by nothing but the order in which orders arrive:
 *
 *   an order of epoch e after one of a higher epoch                       older-epoch
 *   two allocations under one epoch                                       two-allocations
 *   an instance again after another one of its epoch has followed it      instances-interleave
 *
 * A bot that is started again under its epoch is a new instance, which may follow the one before, once.
 */
export class OrderOracle {
  readonly overlaps: Overlap[] = [];
  readonly handovers: Handover[] = [];
  private readonly trading = new Map<string, Trading>();
  private orders = 0;
  private epochs = 0;
  private overlapped = 0;

  get ordersTotal(): number {
    return this.orders;
  }
  /** Pairs of account and epoch that have traded. */
  get epochsTotal(): number {
    return this.epochs;
  }
  /** All of them, also those beyond what is kept. */
  get overlapsTotal(): number {
    return this.overlapped;
  }

  /** The last order of an account, null before the first. */
  last(account: string): { readonly epoch: number; readonly at_ms: number } | null {
    return this.trading.get(account) ?? null;
  }

  /** @param at_ms when it arrived, on one clock that never steps. @returns what it proves, null when all is well */
  record(order: Order, at_ms: number): Overlap | null {
    this.orders += 1;
    const before = this.trading.get(order.account);
    if (before === undefined || order.epoch > before.epoch) {
      this.follow(order, before, at_ms);
      return null;
    }
    const kind = kindOf(order, before);
    if (kind === null) {
      if (order.instance !== before.instance) {
        before.followed.add(before.instance);
        before.instance = order.instance;
      }
      before.at_ms = at_ms;
      return null;
    }
    const { epoch, allocation, instance } = before;
    const overlap = {
      kind,
      account: order.account,
      at_ms,
      order,
      after: { epoch, allocation, instance, at_ms: before.at_ms },
    };
    this.overlapped += 1;
    if (this.overlaps.length < overlaps_kept) this.overlaps.push(overlap);
    return overlap;
  }

  private follow(order: Order, before: Trading | undefined, at_ms: number): void {
    const { account, epoch, allocation, instance } = order;
    this.epochs += 1;
    if (before !== undefined && this.handovers.length < handovers_kept)
      this.handovers.push({ account, from: before.epoch, to: epoch, gap_ms: at_ms - before.at_ms });
    this.trading.set(account, { epoch, allocation, instance, followed: new Set(), at_ms });
  }
}

function kindOf(order: Order, before: Trading): Overlap['kind'] | null {
  if (order.epoch < before.epoch) return 'older-epoch';
  if (order.allocation !== before.allocation) return 'two-allocations';
  return before.followed.has(order.instance) ? 'instances-interleave' : null;
}
