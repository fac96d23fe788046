import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock, Wake } from '#libs/clock';
import { LOGGER, type Logger } from '#libs/telemetry';
import { HeartbeatSignal } from '../heartbeats/heartbeat.signal.js';
import { suspensionBetween, type Look } from './suspension.js';

/** One allocation whose lease is kept. */
export interface LeaseHolder {
  readonly allocation: string;
  readonly epoch: number;
  /** Makes the deadline known to the container, before the keeper goes by it. */
  renewed(deadlineBoottimeMs: number): Promise<void>;
  /** The lease has ended: what runs must be dead now. Called once. */
  ended(): void;
}

interface Kept {
  readonly holder: LeaseHolder;
  deadlineMs: number | null;
  over: boolean;
  waiters: (() => void)[];
}

/** A suspended machine stops timers but not CLOCK_BOOTTIME; after a resume the end is seen within this. */
const look_ms_max = 250;

/**
 * Keeps the lease of every allocation on this host: the first of the layers that end a bot in time.
 *
 *   hold -> (no lease) -- renew --> live -- renew --> live -- deadline --> over
 *                                         the machine stood still     release from any
 *
 * A lease that is over stays over: a renewal that comes later is for a right that has been given up.
 */
@Injectable()
export class LeaseKeeper {
  readonly #kept = new Map<string, Kept>();
  readonly #wake = new Wake();
  readonly #stop = new AbortController();
  #loop: Promise<void> | null = null;

  constructor(
    @Inject(CLOCK) private readonly clock: Clock,
    private readonly heartbeats: HeartbeatSignal,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  start(): void {
    this.#loop ??= this.#watch();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#loop;
  }

  /** Takes charge; `deadlineMs` is that of a lease that was adopted. */
  hold(holder: LeaseHolder, deadlineMs: number | null = null): void {
    this.#kept.set(holder.allocation, { holder, deadlineMs, over: false, waiters: [] });
    this.#wake.call();
  }

  /** It is dead and gone. */
  release(allocation: string): void {
    const kept = this.#kept.get(allocation);
    this.#kept.delete(allocation);
    kept?.waiters.splice(0).forEach((tell) => tell());
  }

  /** Whether somebody waits for a first lease. */
  get isWanted(): boolean {
    return [...this.#kept.values()].some((kept) => kept.waiters.length > 0);
  }

  /** A lease was given. Unknown allocations, other epochs, leases that are over and earlier deadlines change nothing. */
  async renew(allocation: string, epoch: number, deadlineMs: number): Promise<void> {
    const kept = this.#kept.get(allocation);
    if (kept === undefined || kept.over || kept.holder.epoch !== epoch) return;
    if (deadlineMs <= Math.max(kept.deadlineMs ?? 0, this.clock.boottimeMs())) return;
    // The agent goes by the new deadline only once the container can: a file that cannot be written ends the bot.
    await kept.holder.renewed(deadlineMs);
    kept.deadlineMs = Math.max(kept.deadlineMs ?? 0, deadlineMs);
    kept.waiters.splice(0).forEach((tell) => tell());
    this.#wake.call();
  }

  /** Milliseconds left; null when there never was a lease; zero or less when it is over. */
  remainingMs(allocation: string): number | null {
    const kept = this.#kept.get(allocation);
    if (kept === undefined || kept.deadlineMs === null) return null;
    return kept.over ? 0 : kept.deadlineMs - this.clock.boottimeMs();
  }

  /** Waits until the allocation has a live lease. False when there is none after `bound_ms`. */
  async waitForLease(allocation: string, bound_ms: number, signal: AbortSignal): Promise<boolean> {
    const giveUpMs = this.clock.monotonicMs() + bound_ms;
    for (;;) {
      signal.throwIfAborted();
      if ((this.remainingMs(allocation) ?? 0) > 0) return true;
      const kept = this.#kept.get(allocation);
      const leftMs = giveUpMs - this.clock.monotonicMs();
      if (kept === undefined || kept.over || leftMs <= 0) return false;
      const given = new Wake();
      const tell = () => given.call();
      kept.waiters.push(tell);
      this.heartbeats.call();
      await given.wait(this.clock, leftMs, signal);
      kept.waiters = kept.waiters.filter((other) => other !== tell);
    }
  }

  async #watch(): Promise<void> {
    let before: Look = this.#look();
    let planned_ms = 0;
    while (!this.#stop.signal.aborted) {
      const look = this.#look();
      this.#minding(before, look, planned_ms);
      planned_ms = this.#endWhatIsOver(look.boottimeMs);
      before = look;
      await this.#wake.wait(this.clock, planned_ms, this.#stop.signal);
    }
  }

  #look(): Look {
    return { boottimeMs: this.clock.boottimeMs(), monotonicMs: this.clock.monotonicMs() };
  }

  /** A pause of the machine ends every lease. */
  #minding(before: Look, now: Look, planned_ms: number): void {
    const suspension = suspensionBetween(before, now, planned_ms);
    if (suspension === null) return;
    const leased = [...this.#kept.values()].filter((kept) => !kept.over && kept.deadlineMs !== null);
    this.logger.error(
      { ...suspension, leases: leased.length },
      'the machine stood still: its leases are over',
    );
    for (const kept of leased) this.#end(kept);
  }

  /** Gives the time until the next look. */
  #endWhatIsOver(now_ms: number): number {
    let next_ms = look_ms_max;
    for (const kept of this.#kept.values()) {
      if (kept.over || kept.deadlineMs === null) continue;
      const left_ms = kept.deadlineMs - now_ms;
      if (left_ms > 0) next_ms = Math.min(next_ms, left_ms);
      else this.#end(kept);
    }
    return next_ms;
  }

  #end(kept: Kept): void {
    kept.over = true;
    kept.holder.ended();
  }
}
