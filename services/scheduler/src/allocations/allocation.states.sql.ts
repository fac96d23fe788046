import { liveStates } from '#libs/contracts';

const quoted = (words: readonly string[]): string => words.map((word) => `'${word}'`).join(', ');

/** `state IN (...)` of the live states, spelled as in the partial unique index, so that Postgres uses that. */
export const liveStatesSql = quoted(liveStates);

/** Rank of a state expression: live states in their order, all end states behind them. As in contracts. */
export const rankSql = (expression: string): string =>
  `coalesce(array_position(ARRAY[${quoted(liveStates)}], ${expression}), ${liveStates.length + 1})`;
