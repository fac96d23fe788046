import type { MigrationInterface, QueryRunner } from 'typeorm';
import { dropOfTold } from './0006-drop-of-told.js';

/**
 * What is archived is told by the log itself: a partition is dropped only when records of the log say of each of its
 * positions which archive has it. These records are kept here as well, for when their own month is archived.
 */
export class ToldArchives1700000000006 implements MigrationInterface {
  name = 'ToldArchives1700000000006';

  async up(q: QueryRunner): Promise<void> {
    await q.query(`
      CREATE TABLE audit.archive_records (
        archive uuid NOT NULL REFERENCES audit.archives,
        position bigint NOT NULL CHECK (position >= 0),
        -- The canonical line, whose hash is in the tree: no line that was changed passes for it.
        line text NOT NULL,
        PRIMARY KEY (archive, position)
      )`);
    await q.query(fileNames);
    await q.query(dropOfTold);
    await q.query('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA audit FROM PUBLIC');
  }

  async down(): Promise<void> {
    throw new Error('An audit log is not taken back; restore a backup beside it.');
  }
}

/** Whoever notes an archive names a file in the folder of archives, and nothing else that the service could be made to read. */
const fileNames = `
  ALTER TABLE audit.archives ADD CONSTRAINT archives_file_name
    CHECK (file ~ '^(trading|audit|error|session)-[0-9]{4}-[0-9]{2}-[0-9a-f-]{36}[.]ndjson[.]gz$'
           AND strpos(file, id::text) > 0)`;
