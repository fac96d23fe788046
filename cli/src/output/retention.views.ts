import type { Archive, Hold, RetentionPartition, RetentionStep } from '#libs/contracts';
import type { Tone } from './printer.js';
import type { TableView } from './views.js';

const stateTones: Record<RetentionPartition['state'], Tone> = {
  kept: 'dim',
  held: 'busy',
  waiting: 'busy',
  due: 'plain',
  archived: 'plain',
};
const stepTones: Record<RetentionStep['did'], Tone> = { archived: 'good', dropped: 'good', failed: 'bad' };

export const partitionView: TableView<RetentionPartition> = {
  columns: [
    { head: 'class' },
    { head: 'month' },
    { head: 'records', align: 'right' },
    { head: 'MiB', align: 'right' },
    { head: 'due' },
    { head: 'state' },
    { head: 'held by' },
  ],
  cells: ({ class: name, month, records, bytes, dueAt, state, holds }) => [
    ...[name, month, records, (bytes / 1024 ** 2).toFixed(1), dueAt],
    { text: state, tone: stateTones[state] },
    holds.length === 0 ? null : holds.join(' '),
  ],
};

export const stepView: TableView<RetentionStep> = {
  columns: [
    { head: 'class' },
    { head: 'month' },
    { head: 'records', align: 'right' },
    { head: 'did' },
    { head: 'archive' },
    { head: 'detail' },
  ],
  cells: ({ class: name, month, records, did, archive, detail }) => [
    ...[name, month, records],
    { text: did, tone: stepTones[did] },
    ...[archive, detail],
  ],
};

export const archiveView: TableView<Archive> = {
  columns: [
    ...['archive', 'class', 'month'].map((head) => ({ head })),
    { head: 'records', align: 'right' },
    ...['archived', 'dropped', 'file', 'sha256'].map((head) => ({ head })),
  ],
  cells: ({ id, class: name, month, records, archivedAt, droppedAt, file, sha256 }) => [
    ...[id, name, month, records, archivedAt, droppedAt, file, sha256.slice(0, 16)],
  ],
};

export const holdView: TableView<Hold> = {
  columns: ['hold', 'class', 'from', 'to', 'person', 'placed', 'released', 'reason'].map((head) => ({
    head,
  })),
  cells: ({ id, class: name, from, to, subject, placedAt, releasedAt, reason }) => [
    ...[id, name, from, to, subject, placedAt, releasedAt, reason],
  ],
};
