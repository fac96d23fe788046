/**
 * Tables of a spool, one step for each version, for a file's list of steps. Append; never edit a step that was released:
 * the agent's state file has the second one among its own.
 */
export const spoolTables = `
  -- Last event number given out, for each incarnation that still has events in the spool.
  CREATE TABLE incarnations (id TEXT PRIMARY KEY, sequence INTEGER NOT NULL) STRICT, WITHOUT ROWID;

  -- Events that are recorded here, in the order they happened.
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
`;

/** Events stay in the spool until the audit service has recorded them. */
export const spoolKeptUntilConfirmed = `
  -- The highest number that was published.
  ALTER TABLE incarnations ADD COLUMN published INTEGER NOT NULL DEFAULT 0;
  -- 1: the broker has it. refills: how often it was marked to be published again.
  ALTER TABLE spool ADD COLUMN published INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE spool ADD COLUMN refills INTEGER NOT NULL DEFAULT 0;
  CREATE UNIQUE INDEX spool_by_number ON spool (incarnation, sequence);
  -- Those to be published again first.
  CREATE INDEX spool_waiting ON spool ((refills = 0), position) WHERE published = 0;
`;
