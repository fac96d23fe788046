import { ProblemError, type ErrorCode } from '#libs/contracts';

/**
 * Every refusal of the scheduler's API, in one place, so that each code has one sentence and each sentence says what
 * to do. Names in them are validated (`Name`), so they are safe to show and to log.
 */
export const refusal = {
  tenantNotFound: (name: string) =>
    new ProblemError(
      'tenant_not_found',
      `No tenant is named '${name}'. Correct the name, or make it with tenants.create.`,
    ),

  tenantExists: (name: string) =>
    new ProblemError('tenant_exists', `A tenant is named '${name}' already. Use it, or take another name.`),

  accountNotFound: (name: string) =>
    new ProblemError(
      'account_not_found',
      `No account is named '${name}'. Correct the name, or make it with accounts.create.`,
    ),

  accountNameTaken: (name: string) =>
    new ProblemError(
      'account_exists',
      `An account is named '${name}' already. Use it, or take another name.`,
    ),

  /** The broker's identity is unique: two accounts for one login would be two writers. */
  accountIdentityTaken: (server: string, login: number, owner?: string) =>
    new ProblemError(
      'account_exists',
      `Login ${login} at '${server}' is an account already${owner === undefined ? '' : `, named '${owner}'`}. ` +
        'Use that account, or correct server and login.',
    ),

  accountInUse: (account: string, bot?: string) =>
    new ProblemError(
      'account_in_use',
      `Account '${account}' has a bot already${bot === undefined ? '' : `, '${bot}'`}. ` +
        'Change that bot, or delete it and wait until it is gone, or take another account.',
    ),

  accountLockedAlready: (name: string) =>
    new ProblemError(
      'account_locked',
      `Account '${name}' is locked already. Nothing is left to do; unlock it with accounts.unlock.`,
    ),

  /** A bot may not be asked to run on a locked account. */
  accountLocked: (name: string, reason: string) =>
    new ProblemError(
      'account_locked',
      `Account '${name}' is locked (${reason}). Unlock it with accounts.unlock, then run the bot.`,
    ),

  accountNotLocked: (name: string) =>
    new ProblemError('account_not_locked', `Account '${name}' is not locked. Nothing is left to do.`),

  botNotFound: (name: string) =>
    new ProblemError(
      'bot_not_found',
      `No bot is named '${name}'. Correct the name, or make it with bots.create.`,
    ),

  botBeingDeleted: (name: string) =>
    new ProblemError(
      'bot_not_found',
      `Bot '${name}' is being deleted. Wait until it is gone, then make it anew with bots.create.`,
    ),

  botExists: (name: string) =>
    new ProblemError(
      'bot_exists',
      `A bot is named '${name}' already. Change it with bots.update, or take another name.`,
    ),

  botExistsUntilDeleted: (name: string) =>
    new ProblemError(
      'bot_exists',
      `Bot '${name}' is still being deleted. Wait until it is gone, then send this again.`,
    ),

  hostNotFound: (name: string) =>
    new ProblemError(
      'host_not_found',
      `No host is named '${name}'. Correct the name, or invite it with hosts.invite; hosts.list names all.`,
    ),

  hostKnown: (name: string) =>
    new ProblemError(
      'invalid_transition',
      `Host '${name}' has joined already. If its machine was installed anew, invite it with replaceKey; if it is ` +
        'another machine, choose another name.',
    ),

  hostNotGone: (name: string, state: string, bots: number) =>
    new ProblemError(
      'invalid_transition',
      `Host '${name}' is ${state} and has ${bots} bots. Drain it, stop its agent, and wait until it is down and has ` +
        'nothing; then send this again.',
    ),

  hostStillNamed: (name: string) =>
    new ProblemError(
      'invalid_transition',
      `Host '${name}' is still part of something that has not ended. Wait for that, then send this again.`,
    ),

  hostNotReady: (name: string, state: string) =>
    new ProblemError(
      'invalid_transition',
      state === 'down'
        ? `Host '${name}' is down, and nothing is placed on it. Drain it when it is back.`
        : `Host '${name}' is draining already. Nothing is left to do; end the drain with hosts.ready.`,
    ),

  hostNotDraining: (name: string) =>
    new ProblemError(
      'invalid_transition',
      `Host '${name}' is not being drained. Nothing is left to do; drain it with hosts.drain.`,
    ),

  moveNotFound: (id: string) =>
    new ProblemError(
      'move_not_found',
      `No move has the id ${id}. Take the id from moves.list or from an event.`,
    ),

  staleRebalance: () =>
    new ProblemError(
      'stale_plan',
      'The fleet has changed since the plan was made. Ask for a new one with fleet.rebalance-plan, look at it, and ' +
        'carry it out with its version.',
    ),

  operationNotFound: (id: string) =>
    new ProblemError(
      'operation_not_found',
      `No operation has the id ${id}. Take the id from the answer to the change you sent.`,
    ),

  quotaExceeded: (tenant: string, faults: readonly { path: string; message: string }[]) =>
    new ProblemError(
      'quota_exceeded',
      `The tenant '${tenant}' may not run that much at once: ${faults.map((f) => f.message).join('; ')}. ` +
        'Stop or shrink other bots of the tenant, or raise its quota with tenants.update.',
      { errors: [...faults] },
    ),

  staleGeneration: (
    entity: 'tenant' | 'bot' | 'account' | 'host',
    name: string,
    expected: number,
    actual: number,
  ) =>
    new ProblemError(
      'stale_generation',
      `The ${entity} '${name}' is at generation ${actual}, not ${expected}. Read it again with ${entity}s.get, ` +
        `look at what changed, and send the change with expectedGeneration ${actual}.`,
    ),

  stalePlan: () =>
    new ProblemError(
      'stale_plan',
      'The manifest is not the planned one, or the fleet has changed since. Ask for a new plan with fleet.plan, ' +
        'look at it, and apply it with its version.',
    ),

  staleRolloutPlan: () =>
    new ProblemError(
      'stale_plan',
      'The rollout is not the planned one, or its bots have changed since. Ask for a new plan with rollouts.plan, ' +
        'look at it, and start it with its version.',
    ),

  rolloutNotFound: (id: string) =>
    new ProblemError(
      'rollout_not_found',
      `No rollout has the id ${id}. Take the id from the answer of rollouts.create; rollouts.list names all.`,
    ),

  rolloutConflict: (bots: readonly string[], rollout: string) =>
    new ProblemError(
      'rollout_conflict',
      `Rollout ${rollout} has ${bots.slice(0, 5).join(', ')}${bots.length > 5 ? ' and others' : ''}. Wait until it ` +
        'has ended, or abort it, or choose other bots.',
    ),

  versionNotOffered: (runtimes: readonly string[]) =>
    new ProblemError(
      'version_not_offered',
      `No host that is ready offers ${runtimes.join(', ')}. Configure its image on hosts, or correct the version.`,
    ),

  rolloutEmpty: (chosen: number) =>
    new ProblemError(
      'invalid_transition',
      chosen === 0
        ? 'The selector chooses no bot. Correct it; rollouts.plan shows what it chooses.'
        : 'Every chosen bot is as it should be already. Nothing is left to do.',
    ),

  rolloutTooLarge: (bots_max: number) =>
    new ProblemError(
      'invalid_request',
      `The selector chooses more than ${bots_max} bots. Roll out to one tenant, or to named bots, after the other.`,
    ),

  rolloutBotsUnknown: (bots: readonly string[]) =>
    new ProblemError(
      'bot_not_found',
      `No bot is named ${bots
        .slice(0, 5)
        .map((bot) => `'${bot}'`)
        .join(', ')}. Correct the names.`,
    ),

  rolloutState: (id: string, state: string, verb: string) =>
    new ProblemError(
      'invalid_transition',
      `Rollout ${id} is ${state} and cannot be ${verb}. Read it with rollouts.get.`,
    ),

  idempotencyKeyReused: (usedFor: string) =>
    new ProblemError(
      'idempotency_key_reused',
      `This idempotency key belongs to an earlier ${usedFor} with another body. Make a new key for a new request; ` +
        'keep the key only when the same request is sent again.',
    ),

  planTooLarge: () =>
    new ProblemError(
      'payload_too_large',
      'The plan is too large for one answer. Split the manifest by tenants and plan each part.',
    ),

  tooManyWaiters: () =>
    new ProblemError(
      'unavailable',
      'Too many requests wait for operations at present. Ask with operations.get, or wait again a little later.',
    ),

  invalid: (errors: { path: string; message: string }[]): ProblemError => {
    const first = errors.slice(0, 3).map((e) => `${e.path}: ${e.message}`);
    return new ProblemError(
      'invalid_request',
      `Correct the request and send it again: ${first.join('; ')}.`,
      {
        errors: errors.slice(0, 20),
      },
    );
  },

  /** For single changes of a plan that the present state does not allow. */
  planConflict: (code: ErrorCode, errors: { path: string; message: string }[]): ProblemError => {
    const first = errors.slice(0, 3).map((e) => `${e.path}: ${e.message}`);
    return new ProblemError(code, `Correct the manifest and plan it again: ${first.join('; ')}.`, {
      errors: errors.slice(0, 20),
    });
  },
};
