import { spoolKeptUntilConfirmed, spoolTables } from './spool.schema.js';
import { SqliteFile } from './sqlite.file.js';

/** A spool in a file of its own, for a service that has no other state. */
export class SpoolFile extends SqliteFile {
  /** Throws an `Error` that says what to do when the file cannot be used. */
  constructor(path: string) {
    super({
      path,
      steps: [spoolTables, spoolKeptUntilConfirmed],
      faults: {
        newer: (found, known) =>
          new Error(
            `The spool ${path} was written by a newer version: it has schema ${found}, this one knows up to ${known}. ` +
              'Install the newer version again.',
          ),
        damaged: (why) =>
          new Error(
            `The spool ${path} is damaged: ${why}. Look at its disk, then move it and the files named after it (-wal, -shm) ` +
              'to another place: events that were not recorded yet are lost.',
          ),
        unusable: (cause) =>
          new Error(
            `The spool ${path} cannot be used: ${cause instanceof Error ? cause.message : String(cause)}. It must be on a ` +
              'local disk with room, writable, and of one process alone.',
            { cause },
          ),
      },
    });
  }
}
