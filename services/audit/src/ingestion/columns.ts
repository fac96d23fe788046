import type { Tile } from '#libs/tlog';
import type { Leaf, QuarantinedMessage } from './recorded-event.js';
import type { ReceivedRanges } from './received-ranges.js';

/*
 * The arrays of `unnest`, in the order of the statement that adds to the log. Those of events are written as Postgres
 * reads them: the driver's own way with arrays takes longer than all else that is done with an event.
 */

export function eventColumns(leaves: readonly Leaf[], first: number): unknown[] {
  const plain = (value: (leaf: Leaf) => string | number | null): string => array(leaves, value, String);
  const text = (value: (leaf: Leaf) => string | null): string => array(leaves, value, quoted);
  return [
    plain(({ record }) => record.id),
    `{${leaves.map((_, index) => first + index).join(',')}}`,
    text(({ record }) => record.source),
    plain(({ record }) => record.incarnation),
    plain(({ record }) => record.sequence),
    text(({ record }) => record.type),
    text(({ record }) => record.subject.slice(0, record.subject.indexOf('/'))),
    text(({ record }) => record.subject.slice(record.subject.indexOf('/') + 1)),
    plain(({ record }) => record.severity),
    plain(({ record }) => record.retention),
    text(({ record }) => record.actor),
    plain(({ record }) => record.subjectId),
    plain(({ record }) => record.time),
    text(({ record }) => record.traceparent),
    text(({ record }) => record.data),
    text(({ record }) => record.signature),
    plain(({ record }) => record.recordedAt),
    array(
      leaves,
      ({ hash }) => hash.toString('hex'),
      (hex) => `"\\\\x${hex}"`,
    ),
  ];
}

function array<T extends string | number>(
  leaves: readonly Leaf[],
  value: (leaf: Leaf) => T | null,
  write: (value: T) => string,
): string {
  let elements = '';
  for (const leaf of leaves) {
    const given = value(leaf);
    elements += `${elements === '' ? '' : ','}${given === null ? 'NULL' : write(given)}`;
  }
  return `{${elements}}`;
}

/** No control character and no half of a surrogate pair: for such a text JSON has the same quotes as Postgres. */
const alikeInJson = /^[ -\u{d7ff}\u{e000}-\u{10ffff}]*$/u;

const quoted = (text: string): string =>
  alikeInJson.test(text) ? JSON.stringify(text) : `"${text.replace(/["\\]/g, '\\$&')}"`;

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
