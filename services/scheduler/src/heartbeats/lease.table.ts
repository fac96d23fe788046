import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { ProblemError } from '#libs/contracts';
import { LEADERSHIP, LeadershipLost, type Leadership } from '../leadership/leadership.js';
import { RUNTIME_SETTINGS, type RuntimeSettings } from '../runtime.settings.js';
import { leaseIsSurelyOver } from './lease.rule.js';

interface HostContact {
  /** The term in which it joined, or last had an answer to a heartbeat: what it knew of earlier terms was looked at. */
  known_term: number | null;
  /** When the last heartbeat was taken up or answered, monotonic; null when none was by this leader. */
  heard_ms: number | null;
  incarnation: string | null;
  sequence: number;
  /** Grows when the host's leases are taken to be over. An answer begun before must not go out after. */
  condemnations: number;
  /** Being declared down: no answers until that is in the database. */
  condemned: boolean;
  /** By allocation: when its lease was last renewed. Holds live allocations only. */
  renewed: Map<string, number>;
  /** By allocation: in how many heartbeats of this incarnation it was left out, one after the other. */
  missing: Map<string, number>;
}

/** One heartbeat being answered. */
export interface Answering {
  readonly host: string;
  readonly incarnation: string;
  readonly sequence: number;
  readonly condemnations: number;
}

const retryLater = (detail: string): ProblemError => new ProblemError('unavailable', detail);

/**
 * The leases this leader has given, in its memory alone. Nothing is written when one is renewed; the waiting rule makes
 * that safe: no account is given away before `leaseSurelyOverMs` have passed since the last answer, and since this
 * leader began (LEASES).
 *
 * Answering and condemning a host exclude each other without a lock: `begin` marks the host as heard before anything
 * is awaited, so a condemnation after it finds it fresh; `finish` refuses when there was one in between nevertheless
 * (the database took longer than a lease). Both run without a break between their look and their mark.
 */
@Injectable()
export class LeaseTable {
  /** Registered hosts only, so as bounded as they are. */
  private readonly hosts = new Map<string, HostContact>();

  constructor(
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(RUNTIME_SETTINGS) private readonly settings: RuntimeSettings,
    @Inject(LEADERSHIP) private readonly leadership: Leadership,
  ) {}

  /** Takes up a heartbeat whose signature has been verified. Throws when it is not the next one of its host. */
  begin(host: string, incarnation: string, sequence: number): Answering {
    const contact = this.contact(host);
    if (contact.condemned)
      throw retryLater('Send the next heartbeat: this host is just being declared down.');
    if (contact.incarnation !== incarnation) {
      contact.incarnation = incarnation;
      contact.sequence = 0;
      contact.missing.clear();
    }
    if (sequence <= contact.sequence)
      throw new ProblemError(
        'invalid_request',
        `Send a heartbeat with a sequence above ${contact.sequence}: this one is old.`,
      );
    contact.sequence = sequence;
    contact.heard_ms = this.clock.monotonicMs();
    return { host, incarnation, sequence, condemnations: contact.condemnations };
  }

  /**
   * Marks leases as renewed, now. The answer may go out only after this has returned.
   * @param renewed the allocations whose leases the answer renews
   * @param live all live allocations of the host; what is known of others is forgotten
   */
  finish(answering: Answering, renewed: ReadonlySet<string>, live: readonly string[]): void {
    const { host, incarnation, sequence, condemnations } = answering;
    const contact = this.contact(host);
    // Its host waits for it no longer, and what it knew of leases is older than what is known by now.
    if (contact.incarnation !== incarnation || contact.sequence !== sequence)
      throw retryLater('Send the next heartbeat: this one was overtaken by a later one.');
    if (contact.condemnations !== condemnations)
      throw retryLater('Send the next heartbeat: this one was not answered within its lease.');
    const now_ms = this.clock.monotonicMs();
    contact.heard_ms = now_ms;
    contact.known_term = this.leadership.current()?.term ?? null;
    const before = contact.renewed;
    contact.renewed = new Map();
    for (const id of live) {
      const at_ms = renewed.has(id) ? now_ms : before.get(id);
      if (at_ms !== undefined) contact.renewed.set(id, at_ms);
    }
  }

  /**
   * The host has just registered: it may be given work before its first heartbeat. Counts once only, or an agent that
   * registers and dies, again and again, would keep for ever what it no longer runs.
   * @param joined it was not known before: it can have nothing, or shows in its first heartbeat that it has
   */
  registered(host: string, joined = false): void {
    const contact = this.contact(host);
    contact.heard_ms ??= this.clock.monotonicMs();
    if (joined) contact.known_term = this.leadership.current()?.term ?? null;
  }

  /** Whether the host has shown this leader what it knows of earlier ones, or knows nothing. */
  isKnown(host: string): boolean {
    const term = this.leadership.current()?.term;
    return term !== undefined && this.hosts.get(host)?.known_term === term;
  }

  /** Whether every lease is surely over that earlier leaders gave, of the fleet's length or this one. */
  areEarlierOver(leaseTtl_ms: number): boolean {
    return this.isOver(null, leaseTtl_ms);
  }

  /**
   * Counts allocations the host left out of a heartbeat; those it names count from 0 again.
   * @param ttlOf how long the lease of one lasts, where it is not as long as others
   * @returns those left out more often than allowed whose lease is over besides: the host does not have them
   */
  countMissing(
    host: string,
    missing: readonly string[],
    ttlOf: (allocation: string) => number = () => this.settings.leaseTtlMs,
  ): string[] {
    const contact = this.contact(host);
    const counts = new Map(missing.map((id) => [id, (contact.missing.get(id) ?? 0) + 1]));
    contact.missing = counts;
    return missing.filter(
      (id) =>
        (counts.get(id) ?? 0) > this.settings.heartbeatsMissingMax &&
        this.isOver(contact.renewed.get(id) ?? null, ttlOf(id)),
    );
  }

  /** Whether the host was heard lately enough to be given more to do. */
  isHeard(host: string): boolean {
    const since_ms = Math.max(this.hosts.get(host)?.heard_ms ?? -Infinity, this.leadingSince_ms());
    return this.clock.monotonicMs() - since_ms < this.settings.leaseTtlMs;
  }

  /** Whether every lease of that length which the host was given is surely over. */
  isSilent(host: string, leaseTtl_ms: number): boolean {
    return this.isOver(this.contact(host).heard_ms, Math.max(leaseTtl_ms, this.settings.leaseTtlMs));
  }

  /**
   * Condemns the host when all its leases of that length are surely over: from now on it gets no answer until `absolve`.
   * @returns whether they are
   */
  condemnIfOver(host: string, leaseTtl_ms: number = this.settings.leaseTtlMs): boolean {
    const contact = this.contact(host);
    // One that is condemned gets no answers meanwhile, but longer leases may not be over.
    if (!this.isOver(contact.heard_ms, leaseTtl_ms)) return false;
    if (contact.condemned) return true;
    contact.condemned = true;
    contact.condemnations += 1;
    return true;
  }

  /** That the host is down stands in the database: its heartbeats may be answered again, by what stands there. */
  absolve(host: string): void {
    this.contact(host).condemned = false;
  }

  /**
   * Absolves all hosts but these, of which leases are over that the database still has. One that was condemned and is not
   * among them stands there as lost: it was written although the answer to that was not heard.
   */
  absolveAllBut(hosts: ReadonlySet<string>): void {
    for (const [host, contact] of this.hosts) if (!hosts.has(host)) contact.condemned = false;
  }

  private isOver(renewed_ms: number | null, leaseTtlMs: number): boolean {
    const since_ms = this.leadingSince_ms();
    const now_ms = this.clock.monotonicMs();
    // Earlier leaders may have given longer ones.
    const earlier_ms = Math.max(leaseTtlMs, this.leadership.current()?.earlierLeaseTtlMs ?? 0);
    return (
      leaseIsSurelyOver({ ...this.settings, leaseTtlMs }, now_ms, renewed_ms, since_ms) &&
      leaseIsSurelyOver({ ...this.settings, leaseTtlMs: earlier_ms }, now_ms, null, since_ms)
    );
  }

  private leadingSince_ms(): number {
    const term = this.leadership.current();
    if (term === null) throw new LeadershipLost('This process does not lead: it knows nothing of leases.');
    return term.sinceMonotonicMs;
  }

  private contact(host: string): HostContact {
    let contact = this.hosts.get(host);
    if (contact === undefined) {
      contact = {
        known_term: null,
        heard_ms: null,
        incarnation: null,
        sequence: 0,
        condemnations: 0,
        condemned: false,
        renewed: new Map(),
        missing: new Map(),
      };
      this.hosts.set(host, contact);
    }
    return contact;
  }
}
