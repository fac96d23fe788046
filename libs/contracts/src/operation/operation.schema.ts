import { z } from 'zod';
import { Actor, Generation, Id, Name, Timestamp } from '../names.js';
import { pageFields } from '../reply.js';

export const OperationKind = z
  .enum([
    'bots.create',
    'bots.update',
    'bots.start',
    'bots.stop',
    'bots.delete',
    'accounts.lock',
    'accounts.unlock',
    'hosts.drain',
    'fleet.apply',
    'rollouts.create',
    'fleet.rebalance',
  ])
  .meta({ id: 'OperationKind' });
export type OperationKind = z.infer<typeof OperationKind>;

/** `superseded`: a later change to the same bot took over before this one was reached. */
export const OperationState = z
  .enum(['running', 'succeeded', 'failed', 'superseded'])
  .meta({ id: 'OperationState' });
export type OperationState = z.infer<typeof OperationState>;

/** One bot that an operation is to bring to a desired state at a generation. */
export const OperationTarget = z
  .strictObject({
    bot: Name,
    generation: Generation,
    goal: z.enum(['running', 'stopped', 'deleted', 'moved', 'rolled-out']),
    state: OperationState,
    /** What it waits for, or why it failed. */
    reason: z.string().max(300).nullable(),
  })
  .meta({ id: 'OperationTarget' });
export type OperationTarget = z.infer<typeof OperationTarget>;

/** The trackable result of a command. */
export const Operation = z
  .strictObject({
    id: Id,
    kind: OperationKind,
    state: OperationState,
    by: Actor,
    progress: z.strictObject({ done: z.int(), failed: z.int(), total: z.int() }),
    /** At most 1000; those not yet done come first. */
    targets: z.array(OperationTarget).max(1000),
    createdAt: Timestamp,
    updatedAt: Timestamp,
  })
  .meta({ id: 'Operation' });
export type Operation = z.infer<typeof Operation>;

export const OperationGet = z.strictObject({ id: Id }).meta({ id: 'OperationGet' });
/** Answers when the operation has ended or `timeoutMs` has passed, with the operation as it then is. */
export const OperationWait = z
  .strictObject({ id: Id, timeoutMs: z.int().min(0).max(30_000).default(10_000) })
  .meta({ id: 'OperationWait' });
export const OperationList = z
  .strictObject({ state: OperationState.optional(), ...pageFields })
  .meta({ id: 'OperationList' });
export const OperationPage = z
  .strictObject({ operations: z.array(Operation), next: z.string().nullable() })
  .meta({ id: 'OperationPage' });
