import { spoolKeptUntilConfirmed } from '#libs/spool';

/** Tables of the agent's state file, one step for each version. Append; never edit a step that was released. */
export const schemaSteps: readonly string[] = [
  `
  -- Small facts: boot id, highest term seen, present incarnation.
  CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

  -- The highest epoch seen of each account; only grows.
  CREATE TABLE fences (account TEXT PRIMARY KEY, epoch INTEGER NOT NULL) STRICT, WITHOUT ROWID;

  -- Commands that were obeyed, so that a second delivery has no second effect.
  CREATE TABLE commands (
    id TEXT PRIMARY KEY,
    verb TEXT NOT NULL,
    allocation TEXT NOT NULL,
    recorded_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX commands_by_age ON commands (recorded_at);

  -- command: the start command as JSON; null for an allocation that was ended before it was ever started here.
  -- stop: the recorded wish to end it, as JSON. reported: the scheduler has answered a heartbeat with its end.
  CREATE TABLE allocations (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    command TEXT,
    state TEXT NOT NULL,
    stage TEXT,
    reason TEXT,
    detail TEXT,
    exit_code INTEGER,
    stop TEXT,
    traceparent TEXT,
    reported INTEGER NOT NULL DEFAULT 0,
    ended INTEGER NOT NULL DEFAULT 0,
    changed_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX allocations_live ON allocations (account) WHERE ended = 0;
  CREATE INDEX allocations_unreported ON allocations (changed_at) WHERE ended = 1 AND reported = 0;
  CREATE INDEX allocations_ended_by_age ON allocations (changed_at) WHERE ended = 1;

  -- Hooks that are done and need not be done again while the machine has not been booted anew.
  CREATE TABLE hooks (
    allocation TEXT NOT NULL,
    hook TEXT NOT NULL,
    PRIMARY KEY (allocation, hook)
  ) STRICT, WITHOUT ROWID;

  -- Last event number given out, for each incarnation that still has events in the spool.
  CREATE TABLE incarnations (id TEXT PRIMARY KEY, sequence INTEGER NOT NULL) STRICT, WITHOUT ROWID;

  -- Events that are recorded and not yet known to be with the broker, in the order they happened.
  CREATE TABLE spool (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    incarnation TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    actor TEXT NOT NULL,
    traceparent TEXT,
    time TEXT NOT NULL,
    data TEXT NOT NULL
  ) STRICT;
  `,
  `
  -- What is to be made ready for bots that may move here; the prepare command as JSON.
  CREATE TABLE preparations (
    move TEXT PRIMARY KEY,
    command TEXT NOT NULL,
    traceparent TEXT,
    ended INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX preparations_wanted ON preparations (recorded_at) WHERE ended = 0;
  `,
  `
  -- Attempts of the bot in place, as JSON; null for the first one.
  ALTER TABLE allocations ADD COLUMN attempts TEXT;
  `,
  `
  -- Volumes and images that nobody needs, and since when (wall clock, milliseconds).
  CREATE TABLE spares (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
  ) STRICT, WITHOUT ROWID;
  -- Images that this agent has fetched; no other is ever removed.
  CREATE TABLE fetched_images (reference TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
  -- The last lines of bots that have ended, as JSON; kept_at is wall clock, milliseconds.
  CREATE TABLE last_logs (
    allocation TEXT PRIMARY KEY,
    lines TEXT NOT NULL,
    kept_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX last_logs_by_age ON last_logs (kept_at);
  `,
  spoolKeptUntilConfirmed,
];
