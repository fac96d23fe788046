import { isLive, limits, type ObservedAllocation } from '#libs/contracts';

/** Kept for the rest of a heartbeat: host, incarnation, sequence, capacity, term and its proof. */
const frame_bytes_max = 4096;
const room_bytes = limits.message_bytes_max - frame_bytes_max;

const bytesOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value)) + 1;

/**
 * What of all a host has to tell goes into one heartbeat: a larger one is refused, and then nothing on the host keeps
 * its lease. First everything that lives, because leases depend on it (`capacityBots` sees to it that it fits); then
 * what ended, the rest of it in the next heartbeat; then what bots say of themselves, as far as there is room. How an
 * attempt ended is left to its event then. Pure.
 */
export function withinRoom(
  observed: readonly ObservedAllocation[],
  bytes_max: number = room_bytes,
): ObservedAllocation[] {
  if (bytesOf(observed) <= bytes_max) return [...observed];
  const live = observed.filter(({ state }) => isLive(state)).map((allocation) => withoutWords(allocation));
  const said = new Map(observed.map(({ id, observation }) => [id, observation]));
  let left = bytes_max - bytesOf(live);
  const fits = (bytes: number): boolean => {
    if (bytes > left) return false;
    left -= bytes;
    return true;
  };
  const ended = observed
    .filter(({ state }) => !isLive(state))
    .filter((allocation) => fits(bytesOf(allocation)));
  const telling = live.map((allocation) => {
    const observation = said.get(allocation.id) ?? null;
    return observation !== null && fits(bytesOf(observation)) ? { ...allocation, observation } : allocation;
  });
  return [...telling, ...ended];
}

/** What the scheduler has to know of an allocation that lives, and no more. */
function withoutWords(allocation: ObservedAllocation): ObservedAllocation {
  const kept = { ...allocation, observation: null };
  delete kept.lastExit;
  return kept;
}
