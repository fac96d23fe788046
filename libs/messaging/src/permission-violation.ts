import { errors } from '@nats-io/transport-node';

/** Whether the server of NATS refused a subject to this user. */
export const isPermissionViolation = (error: unknown): boolean =>
  error instanceof errors.PermissionViolationError ||
  (error instanceof Error && error.cause instanceof errors.PermissionViolationError);
