import { QueryFailedError } from 'typeorm';
import { refusal } from '../errors.js';

/** What the functions of the owner refuse with. */
const sqlStates = {
  TF001: refusal.notDue,
  TF002: refusal.legalHold,
  TF003: refusal.notArchived,
  TF004: refusal.notCovered,
  TF005: refusal.notTold,
  TF404: refusal.partitionGone,
} as const;

/** The refusal that an error of the database stands for; otherwise the error itself. */
export function refusalOf(error: unknown): unknown {
  if (!(error instanceof QueryFailedError)) return error;
  const { code, detail } = error.driverError as { code?: unknown; detail?: unknown };
  const name = String(code);
  if (!Object.hasOwn(sqlStates, name)) return error;
  return sqlStates[name as keyof typeof sqlStates](typeof detail === 'string' ? detail : null, error);
}
