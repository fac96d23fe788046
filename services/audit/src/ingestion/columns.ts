import type { Tile } from '#libs/tlog';
import type { Leaf, QuarantinedMessage } from './recorded-event.js';
import type { ReceivedRanges } from './received-ranges.js';

/** The arrays of `unnest`, in the order of the statement that adds to the log. */

export function eventColumns(leaves: readonly Leaf[], first: number): unknown[] {
  const of = <T>(value: (leaf: Leaf) => T): T[] => leaves.map(value);
  return [
    of(({ record }) => record.id),
    leaves.map((_, index) => first + index),
    of(({ record }) => record.source),
    of(({ record }) => record.incarnation),
    of(({ record }) => record.sequence),
    of(({ record }) => record.type),
    of(({ record }) => record.subject.slice(0, record.subject.indexOf('/'))),
    of(({ record }) => record.subject.slice(record.subject.indexOf('/') + 1)),
    of(({ record }) => record.severity),
    of(({ record }) => record.retention),
    of(({ record }) => record.actor),
    of(({ record }) => record.subjectId),
    of(({ record }) => record.time),
    of(({ record }) => record.traceparent),
    of(({ record }) => record.data),
    of(({ record }) => record.signature),
    of(({ record }) => record.recordedAt),
    of(({ hash }) => hash),
  ];
}

export const tileColumns = (tiles: readonly Tile[]): unknown[] => [
  tiles.map((tile) => tile.level),
  tiles.map((tile) => tile.index),
  tiles.map((tile) => tile.hashes),
];

export const producerColumns = (received: readonly ReceivedRanges[]): unknown[] => [
  received.map((it) => it.source),
  received.map((it) => it.incarnation),
  received.map((it) => `{${it.ranges.map(([from, to]) => `[${from},${to}]`).join(',')}}`),
];

export const quarantineColumns = (rows: readonly QuarantinedMessage[]): unknown[] => [
  rows.map((row) => row.digest),
  rows.map((row) => row.message.streamSeq),
  rows.map((row) => storable(row.message.subject)),
  rows.map((row) => JSON.stringify(row.message.headers)),
  rows.map((row) => Buffer.from(row.message.bytes)),
  rows.map((row) => storable(row.reason)),
  rows.map((row) => row.code),
  rows.map((row) => (row.source === null ? null : storable(row.source))),
];

/** Postgres holds every text but one with the character 0; what is put aside must never be refused. */
const storable = (text: string): string => text.replaceAll('\0', '\ufffd');
