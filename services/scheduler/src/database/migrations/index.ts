import { outboxMigrations } from '#libs/persistence';
import { DesiredAndActualState1700000000001 } from './0001-desired-and-actual-state.js';
import { WhoStopped1700000000002 } from './0002-who-stopped.js';
import { SupersededIncarnations1700000000003 } from './0003-superseded-incarnations.js';
import { LeaderLease1700000000004 } from './0004-leader-lease.js';
import { Attempts1700000000005 } from './0005-attempts.js';
import { Moves1700000000006 } from './0006-moves.js';
import { Rollouts1700000000007 } from './0007-rollouts.js';
import { JoiningAndQuotas1700000000008 } from './0008-joining-and-quotas.js';
import { BootsOfHosts1700000000009 } from './0009-boots-of-hosts.js';
import { LineageOfTerms1700000000010 } from './0010-lineage-of-terms.js';

/** The Postgres schema that the scheduler owns. */
export const schedulerSchema = 'scheduler';

/** All migrations, in the order of the time stamps in their names. */
export const migrations = [
  ...outboxMigrations(schedulerSchema),
  DesiredAndActualState1700000000001,
  WhoStopped1700000000002,
  SupersededIncarnations1700000000003,
  LeaderLease1700000000004,
  Attempts1700000000005,
  Moves1700000000006,
  Rollouts1700000000007,
  JoiningAndQuotas1700000000008,
  BootsOfHosts1700000000009,
  LineageOfTerms1700000000010,
];
