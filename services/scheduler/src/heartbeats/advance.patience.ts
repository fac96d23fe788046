import { Inject, Injectable } from '@nestjs/common';
import { isLive } from '#libs/contracts';
import { RUNTIME_SETTINGS, type RuntimeSettings } from '../runtime.settings.js';
import type { ObservedAdvance } from './heartbeat.comparison.js';

/**
 * Leaves to the events what is theirs to tell. A host that starts many bots is ahead of the database in every
 * heartbeat, by what its events are about to bring; were each heartbeat to write that, heartbeats and events would
 * wait for each other's locks. So a heartbeat advances an allocation only when the host has been ahead with it for
 * `advancePatienceMs`: its events were lost, or are late.
 *
 * An end is taken at once: the host says it in one heartbeat only.
 */
@Injectable()
export class AdvancePatience {
  /** Since when each host is ahead with which of its allocations; what is not ahead any more is forgotten. */
  private readonly ahead = new Map<string, ReadonlyMap<string, number>>();

  constructor(
    @Inject(RUNTIME_SETTINGS) private readonly settings: Pick<RuntimeSettings, 'advancePatienceMs'>,
  ) {}

  /**
   * What of the advances that a heartbeat brings is to be written.
   * @param now_ms monotonic
   */
  ripe(host: string, advances: readonly ObservedAdvance[], now_ms: number): ObservedAdvance[] {
    const before = this.ahead.get(host);
    const since = new Map(
      advances.filter(({ state }) => isLive(state)).map(({ id }) => [id, before?.get(id) ?? now_ms]),
    );
    if (since.size === 0) this.ahead.delete(host);
    else this.ahead.set(host, since);
    return advances.filter(
      ({ id }) => now_ms - (since.get(id) ?? -Infinity) >= this.settings.advancePatienceMs,
    );
  }
}
