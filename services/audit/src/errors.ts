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

/** The service must not start: it could do more to what it keeps than it needs. Names what to do. */
export class UnsafeRole extends Error {
  override readonly name = 'UnsafeRole';

  constructor(role: string, kind: 'writer' | 'reader', excess: readonly string[]) {
    super(
      `The role "${role}" may do more than the ${kind} of the audit log needs: ${excess.join(', ')}. ` +
        `Give ${variables[kind]} a role of its own, other than the owner of the schemas, and let the service grant it ` +
        'what it needs (TRADEFLEET_DATABASE_OWNER_URL).',
    );
  }
}

const variables = {
  writer: 'TRADEFLEET_DATABASE_URL',
  reader: 'TRADEFLEET_READER_DATABASE_URL',
} as const;

/** The tables are missing and nobody may make them. */
export class NotMigrated extends Error {
  override readonly name = 'NotMigrated';

  constructor() {
    super(
      'The schemas "audit" and "audit_work" are not there, or not all of them. Set TRADEFLEET_DATABASE_OWNER_URL once, so that migrations can run.',
    );
  }
}
