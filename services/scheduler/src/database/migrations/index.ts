import { outboxMigrations } from '#libs/persistence';
import { DesiredAndActualState1700000000001 } from './0001-desired-and-actual-state.js';
import { WhoStopped1700000000002 } from './0002-who-stopped.js';
import { SupersededIncarnations1700000000003 } from './0003-superseded-incarnations.js';

/** The Postgres schema that the scheduler owns. */
export const schedulerSchema = 'scheduler';

/** All migrations, in the order of the time stamps in their names. */
export const migrations = [
  ...outboxMigrations(schedulerSchema),
  DesiredAndActualState1700000000001,
  WhoStopped1700000000002,
  SupersededIncarnations1700000000003,
];
