import { watch, type FSWatcher } from 'node:fs';
import { type Clock, Wake } from '#libs/clock';
import type { BotObservation, StatusFile } from '#libs/contracts';
import type { Logger } from '#libs/telemetry';
import { isAbort, oneLine } from '../errors.js';
import type { RunDirectories } from './run-directories.js';

/** The watch of the kernel can miss (full queue, other file systems): look this often in any case. */
const poll_ms = 1000;
/** However often the bot writes, it is read at most this often. */
const spacing_ms_min = 50;

/** What a bot says about itself, as it changes. */
export interface StatusFeed {
  /** The last status that could be trusted to be of this allocation. */
  latest(): StatusFile | null;
  /** `latest` for the heartbeat. */
  observation(): BotObservation | null;
  /** Milliseconds from the last news, or the beginning, to the last look: what nobody looked at counts as no silence. */
  silentMs(): number;
  /** Resolves when there is a newer status or the time is up. */
  next(timeout_ms: number, signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/** Reads `out/status.json` when the kernel says that it changed, and now and then. */
export class FileStatusFeed implements StatusFeed {
  readonly #look = new Wake();
  readonly #news = new Wake();
  readonly #stop = new AbortController();
  readonly #loop: Promise<void>;
  #latest: StatusFile | null = null;
  #content = '';
  #observedAt_ms = 0;
  #newsAt_ms: number;
  #lookedAt_ms: number;
  #fault: string | null = null;

  constructor(
    private readonly of: { readonly allocation: string; readonly epoch: number },
    private readonly directories: RunDirectories,
    private readonly clock: Clock,
    private readonly logger: Logger,
  ) {
    this.#newsAt_ms = this.#lookedAt_ms = clock.monotonicMs();
    this.#loop = this.#follow();
  }

  latest(): StatusFile | null {
    return this.#latest;
  }

  observation(): BotObservation | null {
    const status = this.#latest;
    if (status === null) return null;
    return {
      stage: status.stage,
      equity: status.equity,
      balance: status.balance,
      currency: status.currency,
      positions: status.positions.length,
      ordersToday: status.ordersToday,
      controlSequence: status.controlSequence,
      observedAt: new Date(this.#observedAt_ms).toISOString(),
    };
  }

  silentMs(): number {
    return this.#lookedAt_ms - this.#newsAt_ms;
  }

  async next(timeout_ms: number, signal: AbortSignal): Promise<void> {
    await this.#news.wait(this.clock, timeout_ms, signal);
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#loop;
  }

  async #follow(): Promise<void> {
    const watcher = this.#watch();
    const signal = this.#stop.signal;
    try {
      while (!signal.aborted) {
        await this.#read();
        await this.clock.sleep(spacing_ms_min, signal);
        await this.#look.wait(this.clock, poll_ms, signal);
      }
    } catch (error) {
      // The bot goes on; without its word the stage times out.
      if (!isAbort(error)) this.logger.error({ err: error, ...this.of }, 'status.json is no longer read');
    } finally {
      watcher?.close();
    }
  }

  async #read(): Promise<void> {
    try {
      const looking_ms = this.clock.monotonicMs();
      const status = await this.directories
        .readStatus(this.of.allocation, this.of.epoch)
        .finally(() => (this.#lookedAt_ms = looking_ms));
      if (status === null) return;
      const content = JSON.stringify(status);
      if (content === this.#content) return;
      this.#content = content;
      this.#latest = status;
      this.#observedAt_ms = this.clock.wallMs();
      this.#newsAt_ms = looking_ms;
      this.#fault = null;
      this.#news.call();
    } catch (error) {
      // Said once for each kind: a broken bot writes many a second.
      const fault = oneLine(error);
      if (fault === this.#fault) return;
      this.#fault = fault;
      this.logger.warn({ allocation: this.of.allocation, fault }, 'status.json cannot be used');
    }
  }

  #watch(): FSWatcher | null {
    try {
      const watcher = watch(this.directories.outPath(this.of.allocation), () => this.#look.call());
      watcher.on('error', () => watcher.close());
      return watcher;
    } catch (error) {
      // Too few inotify watches on the host: the poll goes on.
      this.logger.warn(
        { allocation: this.of.allocation, fault: oneLine(error) },
        'status.json is polled only',
      );
      return null;
    }
  }
}

/** For a driver without files: never says anything. */
export const silentStatusFeed: StatusFeed = {
  latest: () => null,
  observation: () => null,
  silentMs: () => 0,
  next: () => Promise.resolve(),
  close: () => Promise.resolve(),
};
