import { ProblemError } from '#libs/contracts';

/** Every refusal of the audit service: each says what to do. */
export const refusal = {
  badCursor: () =>
    new ProblemError(
      'invalid_request',
      'Send `after` as `next` of the page before gave it, or leave it out.',
      {
        errors: [{ path: 'after', message: 'is not a cursor of this query' }],
      },
    ),
};

/** The service must not start: it could change what it is to keep. Names what to do. */
export class UnsafeRole extends Error {
  override readonly name = 'UnsafeRole';

  constructor(role: string, privileges: readonly string[]) {
    super(
      `The role "${role}" of TRADEFLEET_DATABASE_URL may ${privileges.join(', ')} recorded events. ` +
        'Give the service a role that may only SELECT and INSERT, other than the owner of the schema.',
    );
  }
}

/** The tables are missing and nobody may make them. */
export class NotMigrated extends Error {
  override readonly name = 'NotMigrated';

  constructor() {
    super(
      'The schema "audit" is not there. Set TRADEFLEET_DATABASE_OWNER_URL once, so that migrations can run.',
    );
  }
}
