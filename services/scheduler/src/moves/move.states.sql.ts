import { liveMoveStates } from '#libs/contracts';

/** `state IN (...)` of the live states, spelled as in the partial unique index, so that Postgres uses that. */
export const liveMovesSql = liveMoveStates.map((state) => `'${state}'`).join(', ');

/** Whether the move `m` holds room on its target: it lives, and what it is to bring there has not been made. */
export const holdsRoomSql = `m.state IN (${liveMovesSql}) AND NOT EXISTS (
  SELECT 1 FROM scheduler.allocations n WHERE n.account = m.account AND n.epoch > m.epoch)`;
