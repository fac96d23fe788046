import { CLOCK, type Clock } from '#libs/clock';
import type { PublicJwk } from '#libs/contracts';
import { Inject, Injectable } from '@nestjs/common';
import { HostKeyRepository, registrations_max, type Registration } from './host-key.repository.js';

/** Hosts remembered at a time; the one not asked for longest goes first. */
const hosts_max = 4096;
/** The database is asked again for a host at most this often. */
const again_ms = 500;

interface Known {
  /** The newest first. */
  readonly registrations: readonly Registration[];
  readonly read_at_ms: number;
}

/** Keys that events of an incarnation may be signed with. */
export interface KeysOfIncarnation {
  /** The host's present key, and the one this incarnation registered with. */
  readonly present: readonly PublicJwk[];
  /** Keys it had before: for what was already known of then, and is still on its way. */
  readonly earlier: readonly PublicJwk[];
}

/**
 * The keys of hosts, from the events of their registration: those in the log, and those on their way into it, which the
 * scheduler has signed all the same.
 */
@Injectable()
export class HostKeys {
  private readonly hosts = new Map<string, Known>();

  constructor(
    private readonly repository: HostKeyRepository,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** Null when nothing has registered the host yet. @param again asks the database, unless it was asked just now */
  async of(host: string, incarnation: string, again = false): Promise<KeysOfIncarnation | null> {
    return keysOf(await this.known(host, again), incarnation);
  }

  /** As `of`, from memory: null also where the database would have to be asked. */
  ofMemory(host: string, incarnation: string): KeysOfIncarnation | null {
    const known = this.hosts.get(host);
    return known === undefined ? null : keysOf(known, incarnation);
  }

  async isKnown(source: string, incarnation: string): Promise<boolean> {
    return await this.repository.isKnown(source, incarnation);
  }

  /** Of an event that the scheduler's key has signed. */
  async learn(host: string, registration: Registration): Promise<void> {
    const known = await this.known(host, false);
    if (known.registrations.some(({ id }) => id === registration.id)) return;
    this.keep(host, {
      read_at_ms: known.read_at_ms,
      registrations: newestFirst([registration, ...known.registrations]),
    });
  }

  private async known(host: string, again: boolean): Promise<Known> {
    const kept = this.hosts.get(host);
    const wanted = again || kept === undefined || kept.registrations.length === 0;
    const now_ms = this.clock.monotonicMs();
    if (kept !== undefined && (!wanted || now_ms - kept.read_at_ms < again_ms)) return kept;
    const read = await this.repository.registrations(host);
    // What was learnt meanwhile may not be committed yet.
    const learnt = this.hosts.get(host)?.registrations ?? [];
    const ids = new Set(read.map(({ id }) => id));
    const registrations = newestFirst([...read, ...learnt.filter(({ id }) => !ids.has(id))]);
    return this.keep(host, { registrations, read_at_ms: now_ms });
  }

  private keep(host: string, known: Known): Known {
    this.hosts.delete(host);
    this.hosts.set(host, known);
    const oldest = this.hosts.keys().next().value;
    if (this.hosts.size > hosts_max && oldest !== undefined) this.hosts.delete(oldest);
    return known;
  }
}

function keysOf({ registrations }: Known, incarnation: string): KeysOfIncarnation | null {
  const [newest] = registrations;
  if (newest === undefined) return null;
  const own = registrations.filter((registration) => registration.incarnation === incarnation);
  const present = distinct([newest, ...own].map(({ key }) => key));
  // An incarnation that registered has its key; the ones before must not speak for it.
  if (own.length > 0) return { present, earlier: [] };
  const all = distinct(registrations.map(({ key }) => key));
  return { present, earlier: all.filter((key) => !present.some(({ x }) => x === key.x)) };
}

const newestFirst = (registrations: readonly Registration[]): Registration[] =>
  registrations
    .toSorted((one, other) => compare(other.time, one.time) || compare(other.id, one.id))
    .slice(0, registrations_max);

/** ISO times and ids of version 7 both sort as text. */
const compare = (one: string, other: string): number => (one === other ? 0 : one < other ? -1 : 1);

const distinct = (keys: readonly PublicJwk[]): PublicJwk[] =>
  keys.filter((key, index) => keys.findIndex(({ x }) => x === key.x) === index);
