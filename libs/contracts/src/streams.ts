import { subjects } from './subjects.js';

/** A JetStream stream as it is provisioned; everything is bounded. */
export interface StreamSpec {
  readonly name: string;
  readonly subjects: readonly string[];
  readonly retention: 'limits' | 'workqueue';
  readonly max_age_ms: number;
  readonly max_bytes: number;
  readonly max_msg_bytes: number;
  /** Messages of one subject at most, new ones refused; null: only the bounds of the whole stream. */
  readonly max_msgs_per_subject: number | null;
  /** Window in which a message id is stored once; longer than the longest retry of a publisher. */
  readonly duplicate_window_ms: number;
}

const minute_ms = 60_000;
const day_ms = 24 * 60 * minute_ms;

/**
 * How long a command may wait for its host. One that came later would be refused as expired; what it asked for is asked
 * again while it is wanted. Bounds `commandTtlMs` of the scheduler.
 */
export const command_wait_ms_max = 15 * minute_ms;

export const streams = {
  /** Signed commands, one consumer a host; a message is gone once its host has recorded it. */
  commands: {
    name: 'COMMANDS',
    subjects: [subjects.commandsAll()],
    retention: 'workqueue',
    max_age_ms: command_wait_ms_max,
    max_bytes: 1024 * 1024 * 1024,
    max_msg_bytes: 256 * 1024,
    // A host that takes nothing fills its own share: its start commands leave room for its stops, and for other hosts.
    max_msgs_per_subject: 4096,
    duplicate_window_ms: 10 * minute_ms,
  },
  /** What happened; every consumer reads all. */
  events: {
    name: 'EVENTS',
    subjects: [subjects.eventsAll()],
    retention: 'limits',
    max_age_ms: 7 * day_ms,
    max_bytes: 4 * 1024 * 1024 * 1024,
    max_msg_bytes: 256 * 1024,
    max_msgs_per_subject: null,
    duplicate_window_ms: 10 * minute_ms,
  },
  /** What the audit log has committed itself to: copies for whoever wants to hold it to that. */
  checkpoints: {
    name: 'CHECKPOINTS',
    subjects: [subjects.logCheckpoint()],
    retention: 'limits',
    max_age_ms: 365 * day_ms,
    max_bytes: 64 * 1024 * 1024,
    max_msg_bytes: 8 * 1024,
    max_msgs_per_subject: null,
    duplicate_window_ms: 10 * minute_ms,
  },
  /** What could not be handled, kept for a person to look at. */
  deadLetters: {
    name: 'DEAD_LETTERS',
    subjects: [subjects.deadLettersAll()],
    retention: 'limits',
    max_age_ms: 30 * day_ms,
    max_bytes: 256 * 1024 * 1024,
    max_msg_bytes: 512 * 1024,
    max_msgs_per_subject: null,
    duplicate_window_ms: 10 * minute_ms,
  },
} as const satisfies Record<string, StreamSpec>;

/** A durable pull consumer as it is provisioned. */
export interface ConsumerSpec {
  readonly stream: string;
  readonly durable: string;
  readonly filter: string;
  readonly ack_wait_ms: number;
  /** Deliveries before the message is a dead letter. */
  readonly deliveries_max: number;
  /** Messages handed out and not yet settled. */
  readonly unsettled_max: number;
}

export const consumers = {
  /** The commands of one host. */
  agentCommands: (hostName: string): ConsumerSpec => ({
    stream: streams.commands.name,
    durable: `agent-${hostName}`,
    filter: subjects.hostCommands(hostName),
    ack_wait_ms: 30_000,
    deliveries_max: 20,
    unsettled_max: 256,
  }),
  /** All events into the audit table. */
  audit: {
    stream: streams.events.name,
    durable: 'audit',
    filter: subjects.eventsAll(),
    ack_wait_ms: 30_000,
    deliveries_max: 20,
    unsettled_max: 4096,
  },
  /** Allocation events into the scheduler's actual state. */
  schedulerProjection: {
    stream: streams.events.name,
    durable: 'scheduler-projection',
    filter: subjects.eventsOf('allocation'),
    ack_wait_ms: 30_000,
    deliveries_max: 20,
    unsettled_max: 1024,
  },
  /** What agents say of the moves they prepare for. */
  schedulerMoves: {
    stream: streams.events.name,
    durable: 'scheduler-moves',
    filter: subjects.eventsOf('move'),
    ack_wait_ms: 30_000,
    deliveries_max: 20,
    unsettled_max: 256,
  },
} as const;
