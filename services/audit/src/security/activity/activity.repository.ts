import type { Transaction } from '#libs/persistence';
import { Injectable } from '@nestjs/common';
import { ReaderDatabase } from '../../database/reader.js';
import type { BurstState } from './burst.js';
import { countedTypes, type BurstRuleName, type Signal, type SignalRow } from './signals.js';

/** Events of one producer in one hour. */
export interface HourCount {
  readonly source: string;
  readonly hour: Date;
  readonly events: number;
}

/** An hour of which more has become known, with what there was before. */
export interface GrownHour {
  readonly who: string;
  readonly hour: Date;
  /** In it so far. */
  readonly events: number;
  /** Of its earlier hours those with events, the last seven days. */
  readonly before: readonly number[];
  readonly hoursKnown: number;
}

/** What is known of one who by one rule. */
export interface Standing extends Signal {
  readonly state: BurstState;
}

/** A slow statement of this kind holds up nothing but the next look. */
const read_ms_max = 20_000;

/** Reads the log by the reader's role, and keeps by the writer's what was counted. */
@Injectable()
export class ActivityRepository {
  constructor(private readonly reader: ReaderDatabase) {}

  /** Begins with what is recorded from now on, unless it has begun. */
  async begin(tx: Transaction): Promise<void> {
    await tx.query(
      `INSERT INTO audit_work.activity_place (position) SELECT size FROM audit_work.head ON CONFLICT DO NOTHING`,
    );
  }

  /** Up to where was looked; null while another process looks. The place is this transaction's. */
  async hold(tx: Transaction): Promise<number | null> {
    const [row] = await tx.query<{ position: string }[]>(
      'SELECT position FROM audit_work.activity_place FOR UPDATE SKIP LOCKED',
    );
    return row === undefined ? null : Number(row.position);
  }

  async move(tx: Transaction, position: number): Promise<void> {
    await tx.query('UPDATE audit_work.activity_place SET position = $1', [position]);
  }

  /** Records in the log: every lower position is committed. */
  async size(): Promise<number> {
    const [head] = await this.reader.query<{ size: string }[]>('SELECT size FROM audit_work.head');
    return Number(head?.size ?? 0);
  }

  /** Of the positions from `from` up to, without, `to`. */
  async read(from: number, to: number): Promise<{ signals: SignalRow[]; hours: HourCount[] }> {
    return await this.reader.bounded(read_ms_max, async (queryable) => {
      const signals = await queryable.query<SignalRow[]>(
        `SELECT time, type, severity, source, entity_id, subject_id FROM audit.events
          WHERE position >= $1 AND position < $2 AND (severity IN ('warning', 'critical') OR type = ANY ($3))
          ORDER BY position`,
        [from, to, countedTypes],
      );
      const hours = await queryable.query<{ source: string; hour: Date; events: string }[]>(
        `SELECT source, date_trunc('hour', time, 'UTC') AS hour, count(*) AS events FROM audit.events
          WHERE position >= $1 AND position < $2 GROUP BY 1, 2`,
        [from, to],
      );
      return { signals, hours: hours.map((row) => ({ ...row, events: Number(row.events) })) };
    });
  }

  async standings(tx: Transaction, signals: readonly Signal[]): Promise<Standing[]> {
    const rows = await tx.query<
      { rule: BurstRuleName; who: string; recent: Date[]; told_until: Date | null }[]
    >(
      `SELECT rule, who, recent, told_until FROM audit_work.activity
        JOIN unnest($1::text[], $2::text[]) AS asked (rule, who) USING (rule, who)`,
      [signals.map(({ rule }) => rule), signals.map(({ who }) => who)],
    );
    return rows.map(({ rule, who, recent, told_until }) => ({
      ...{ rule, who },
      state: { recent: recent.map((at) => at.getTime()), toldUntil: told_until?.getTime() ?? null },
    }));
  }

  async keep(tx: Transaction, standings: readonly Standing[], now: Date): Promise<void> {
    const iso = (ms: number): string => new Date(ms).toISOString();
    await tx.query(
      `INSERT INTO audit_work.activity (rule, who, recent, told_until, changed_at)
       SELECT rule, who, coalesce(string_to_array(nullif(recent, ''), ','), '{}')::timestamptz(3)[], told_until, $5
         FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) AS new (rule, who, recent, told_until)
       ON CONFLICT (rule, who) DO UPDATE
          SET recent = excluded.recent, told_until = excluded.told_until, changed_at = excluded.changed_at`,
      [
        standings.map(({ rule }) => rule),
        standings.map(({ who }) => who),
        standings.map(({ state }) => state.recent.map(iso).join(',')),
        standings.map(({ state }) => (state.toldUntil === null ? null : iso(state.toldUntil))),
        now,
      ],
    );
  }

  /** Adds to the hours; gives those that have at least `eventsMin` now and that nobody was told of. */
  async addHours(
    tx: Transaction,
    hours: readonly { readonly who: string; readonly hour: Date; readonly events: number }[],
    eventsMin: number,
  ): Promise<GrownHour[]> {
    const names = hours.map(({ who }) => who);
    const starts = hours.map(({ hour }) => hour);
    await tx.query(
      `INSERT INTO audit_work.hourly_volume AS old (who, hour, events)
       SELECT who, hour, events FROM unnest($1::text[], $2::timestamptz[], $3::bigint[]) AS new (who, hour, events)
        ORDER BY who, hour
       ON CONFLICT (who, hour) DO UPDATE SET events = old.events + excluded.events`,
      [names, starts, hours.map(({ events }) => events)],
    );
    // A statement of its own: it is to see all of these hours, which may be each other's past.
    const rows = await tx.query<
      { who: string; hour: Date; events: string; before: string[] | null; hours: string | null }[]
    >(
      `SELECT who, hour, events, past.before, past.hours
         FROM audit_work.hourly_volume AS now
         JOIN unnest($1::text[], $2::timestamptz[]) AS grown (who, hour) USING (who, hour)
        CROSS JOIN LATERAL (
         SELECT array_agg(h.events) AS before, extract(epoch FROM now.hour - min(h.hour)) / 3600 AS hours
           FROM audit_work.hourly_volume h
          WHERE h.who = now.who AND h.hour < now.hour AND h.hour >= now.hour - interval '7 days') past
        WHERE events >= $3 AND NOT told`,
      [names, starts, eventsMin],
    );
    return rows.map(({ who, hour, events, before, hours: known }) => ({
      ...{ who, hour, events: Number(events) },
      before: (before ?? []).map(Number),
      hoursKnown: Math.round(Number(known ?? 0)),
    }));
  }

  async markTold(
    tx: Transaction,
    hours: readonly { readonly who: string; readonly hour: Date }[],
  ): Promise<void> {
    await tx.query(
      `UPDATE audit_work.hourly_volume SET told = true
         FROM unnest($1::text[], $2::timestamptz[]) AS now (who, hour)
        WHERE hourly_volume.who = now.who AND hourly_volume.hour = now.hour`,
      [hours.map(({ who }) => who), hours.map(({ hour }) => hour)],
    );
  }

  /** Forgets what no rule will look at any more. */
  async forget(
    tx: Transaction,
    { quietSince, hoursBefore }: { quietSince: Date; hoursBefore: Date },
  ): Promise<void> {
    await tx.query('DELETE FROM audit_work.activity WHERE changed_at < $1', [quietSince]);
    await tx.query('DELETE FROM audit_work.hourly_volume WHERE hour < $1', [hoursBefore]);
  }
}
