import { QueryFailedError } from 'typeorm';

/** SQLSTATE codes this library acts on (PostgreSQL, appendix A). */
const sqlState = {
  foreignKeyViolation: '23503',
  uniqueViolation: '23505',
  serializationFailure: '40001',
  deadlockDetected: '40P01',
} as const;

interface DatabaseError {
  readonly code?: unknown;
  readonly constraint?: unknown;
}

/** Whether a unique constraint or index refused a row; with a name, whether that one did. */
export function isUniqueViolation(error: unknown, constraintName?: string): boolean {
  const { code, constraint } = databaseError(error);
  return code === sqlState.uniqueViolation && (constraintName === undefined || constraint === constraintName);
}

/** Whether a row was refused, or kept from being deleted, because of a reference to it. */
export const isForeignKeyViolation = (error: unknown): boolean =>
  databaseError(error).code === sqlState.foreignKeyViolation;

/** Whether the same transaction may well succeed when it is run again at once. */
export function isTransactionConflict(error: unknown): boolean {
  const { code } = databaseError(error);
  return code === sqlState.serializationFailure || code === sqlState.deadlockDetected;
}

function databaseError(error: unknown): DatabaseError {
  if (error instanceof QueryFailedError) return error.driverError as DatabaseError;
  return typeof error === 'object' && error !== null ? error : {};
}
