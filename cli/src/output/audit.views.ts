import type { Gap, Producer, QuarantinedMessageView, SequenceRange } from '#libs/contracts';
import type { Tone } from './printer.js';
import type { TableView } from './views.js';

const gapTones: Record<Gap['state'], Tone> = { open: 'busy', refilled: 'good', lost: 'bad' };

const rangeText = ([from, to]: SequenceRange): string => (from === to ? `${from}` : `${from}-${to}`);

export const producerView: TableView<Producer> = {
  columns: [
    { head: 'source' },
    { head: 'incarnation' },
    { head: 'recorded to', align: 'right' },
    { head: 'highest', align: 'right' },
    { head: 'missing' },
    { head: 'changed' },
  ],
  cells: ({ source, incarnation, upTo, highest, missing, changedAt }) => [
    source,
    incarnation,
    upTo,
    highest,
    missing.length === 0 ? null : { text: missing.map(rangeText).join(' '), tone: 'bad' },
    changedAt,
  ],
};

export const gapView: TableView<Gap> = {
  columns: [
    ...['gap', 'source', 'incarnation', 'events', 'state'].map((head) => ({ head })),
    { head: 'lost', align: 'right' },
    ...['found', 'closed', 'detail'].map((head) => ({ head })),
  ],
  cells: ({ id, source, incarnation, first, last, state, lost, foundAt, closedAt, detail }) => [
    ...[id, source, incarnation, rangeText([first, last])],
    { text: state, tone: gapTones[state] },
    lost,
    ...[foundAt, closedAt, detail],
  ],
};

export const quarantineView: TableView<QuarantinedMessageView> = {
  columns: ['recorded', 'code', 'source', 'subject', 'reason', 'digest'].map((head) => ({ head })),
  cells: ({ recordedAt, code, source, subject, reason, digest }) => [
    recordedAt,
    { text: code, tone: 'bad' },
    source,
    subject,
    reason,
    digest.slice(0, 16),
  ],
};
