import { uptime } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';

/** All the time anything that decides may know; injected, so that tests turn it by hand. */
export interface Clock {
  /** Wall clock, milliseconds since 1970. For people and for expiry between machines, never for durations. */
  wallMs(): number;
  /** Milliseconds on a clock that never steps. For durations within this process. */
  monotonicMs(): number;
  /**
   * Milliseconds on CLOCK_BOOTTIME: never steps and counts suspended time. For leases; the same value for every
   * process and container of one machine. Never ahead of the true value.
   */
  boottimeMs(): number;
  /** Resolves after `ms`, or rejects with `AbortError` when the signal aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** DI token of the process's clock. */
export const CLOCK = Symbol('Clock');

export class SystemClock implements Clock {
  wallMs(): number {
    return Date.now();
  }

  monotonicMs(): number {
    return performance.now();
  }

  /**
   * Node has no clock_gettime; on Linux `os.uptime` reads CLOCK_BOOTTIME from /proc/uptime, two decimals, rounded down.
   * Asked often: it costs 3 µs, a third of reading the file ourselves. Elsewhere (development on macOS) hrtime stands in;
   * there it does not count suspended time.
   */
  boottimeMs(): number {
    if (process.platform !== 'linux') return Number(process.hrtime.bigint() / 1_000_000n);
    return Math.round(uptime() * 1000);
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    await delay(ms, undefined, signal === undefined ? {} : { signal });
  }
}
