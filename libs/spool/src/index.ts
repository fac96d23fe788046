export {
  EventSpool,
  type RecordedEvent,
  type SpoolDatabase,
  type SpooledEvent,
  type SpoolOptions,
} from './event-spool.js';
export { integer, integerOrNull, text, textOrNull } from './row.js';
export { SpoolFile } from './spool.file.js';
export { SpoolPublisher, type SpoolPublisherParts } from './spool.publisher.js';
export { spoolKeptUntilConfirmed } from './spool.schema.js';
export { lacksRoom } from './sqlite.codes.js';
export {
  SqliteFile,
  type Patience,
  type Row,
  type SqliteFaults,
  type SqliteFileOptions,
} from './sqlite.file.js';
