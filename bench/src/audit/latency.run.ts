import { setTimeout as delay } from 'node:timers/promises';
import { type Distribution, distributionOf } from '../control/statistics.js';
import type { AuditFleet } from './audit.fleet.js';
import type { LogWatch } from './log.side.js';
import type { Workload } from './workload.js';

export interface LatencyResult {
  readonly rate_per_s: number;
  readonly events: number;
  /** From publishing an event until its row is committed, as another connection sees it. */
  readonly publishedToDurable: Distribution | null;
}

const tick_ms = 10;
const look_ms = 2;
const durable_ms_max = 30_000;

interface Seen {
  readonly at_ms: number;
  readonly size: number;
}

/**
 * Publishes at a steady rate, as fast or slow as the stream answers, and looks every few milliseconds how far the log is.
 * An event is durable when the log that is read has its position: what is read is committed. A look that comes late makes
 * the time longer, never shorter.
 */
export async function measureLatency(
  fleet: AuditFleet,
  watch: LogWatch,
  workload: Workload,
  { rate_per_s, seconds }: { rate_per_s: number; seconds: number },
): Promise<LatencyResult> {
  // Whoever makes few publishes each as it comes: nothing shares a signature.
  const messages = await workload.next(rate_per_s * seconds, 1);
  const first = await watch.size();
  const end = first + messages.length;
  const published = new Map<string, number>();
  const looking = new AbortController();
  const seen = look(watch, end, looking.signal);
  const under: Promise<unknown>[] = [];
  const begin_ms = performance.now();
  for (let next = 0; next < messages.length;) {
    const due = Math.min(messages.length, Math.ceil(((performance.now() - begin_ms) / 1000) * rate_per_s));
    const batch = messages.slice(next, due);
    for (const { messageId } of batch) published.set(messageId, performance.now());
    if (batch.length > 0) under.push(fleet.messaging.publishDurableAll(batch, { window: batch.length }));
    next = Math.max(next, due);
    await delay(tick_ms);
  }
  await Promise.all(under);
  const timer = setTimeout(() => looking.abort(), durable_ms_max);
  const looks = await seen;
  clearTimeout(timer);
  const durations_ms = durationsOf(await watch.ids(first, end), published, looks, first);
  if (durations_ms.length < messages.length)
    throw new Error(`${messages.length - durations_ms.length} events were not recorded in time.`);
  return { rate_per_s, events: messages.length, publishedToDurable: distributionOf(durations_ms) };
}

async function look(watch: LogWatch, end: number, signal: AbortSignal): Promise<Seen[]> {
  const seen: Seen[] = [];
  let size = 0;
  while (size < end && !signal.aborted) {
    size = await watch.size();
    seen.push({ at_ms: performance.now(), size });
    await delay(look_ms);
  }
  return seen;
}

/** @param ids in the order of the log, from the position `first` on */
function durationsOf(
  ids: readonly string[],
  published: ReadonlyMap<string, number>,
  seen: readonly Seen[],
  first: number,
): number[] {
  const durations: number[] = [];
  let look = 0;
  for (const [index, id] of ids.entries()) {
    while ((seen[look]?.size ?? Infinity) <= first + index) look += 1;
    const at_ms = seen[look]?.at_ms;
    const published_ms = published.get(id);
    if (at_ms !== undefined && published_ms !== undefined) durations.push(at_ms - published_ms);
  }
  return durations;
}
