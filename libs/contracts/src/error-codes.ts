/**
 * Every error a door can answer: HTTP status, static title, and whether the same request may succeed later.
 * Codes are stable: clients branch on them. A detail says what to do about it.
 */
export const errorCodes = {
  // the request itself
  malformed_json: { status: 400, title: 'The body is not JSON', retry: false },
  invalid_request: { status: 400, title: 'The request does not fit its schema', retry: false },
  payload_too_large: { status: 413, title: 'The body is too large', retry: false },
  unknown_subject: { status: 404, title: 'No such operation', retry: false },
  unauthenticated: { status: 401, title: 'No valid credentials', retry: false },
  forbidden: { status: 403, title: 'Not allowed', retry: false },
  rate_limited: { status: 429, title: 'Too many requests', retry: true },
  // desired state
  tenant_not_found: { status: 404, title: 'No such tenant', retry: false },
  account_not_found: { status: 404, title: 'No such account', retry: false },
  bot_not_found: { status: 404, title: 'No such bot', retry: false },
  host_not_found: { status: 404, title: 'No such host', retry: false },
  move_not_found: { status: 404, title: 'No such move', retry: false },
  operation_not_found: { status: 404, title: 'No such operation', retry: false },
  tenant_exists: { status: 409, title: 'The tenant exists already', retry: false },
  account_exists: { status: 409, title: 'The account exists already', retry: false },
  bot_exists: { status: 409, title: 'The bot exists already', retry: false },
  account_in_use: { status: 409, title: 'The account has a bot already', retry: false },
  account_locked: { status: 409, title: 'The account is locked', retry: false },
  account_not_locked: { status: 409, title: 'The account is not locked', retry: false },
  runtime_unknown: { status: 400, title: 'No such runtime', retry: false },
  stale_generation: { status: 409, title: 'The entity has changed since it was read', retry: false },
  rollout_not_found: { status: 404, title: 'No such rollout', retry: false },
  rollout_conflict: { status: 409, title: 'Another rollout has the bot', retry: true },
  version_not_offered: { status: 409, title: 'No host offers this version', retry: true },
  stale_plan: { status: 409, title: 'The fleet has changed since the plan was made', retry: false },
  idempotency_key_reused: {
    status: 422,
    title: 'The idempotency key belongs to another request',
    retry: false,
  },
  quota_exceeded: { status: 409, title: "The tenant's quota does not allow it", retry: false },
  invalid_transition: { status: 409, title: 'Not possible in the present state', retry: false },
  // hosts, commands, grants
  host_key_mismatch: { status: 403, title: 'The host is known under another key', retry: false },
  join_token_invalid: { status: 403, title: 'The host has no valid invitation', retry: false },
  host_superseded: { status: 409, title: 'Another agent of this host has taken over', retry: false },
  host_not_registered: { status: 409, title: 'The host has not registered', retry: true },
  bad_signature: { status: 403, title: 'The signature does not verify', retry: false },
  wrong_host: { status: 403, title: 'The message is for another host', retry: false },
  command_expired: { status: 410, title: 'The command came too late', retry: false },
  stale_epoch: { status: 409, title: 'The epoch has passed', retry: false },
  grant_refused: { status: 403, title: 'No credentials for this allocation', retry: false },
  credentials_missing: { status: 409, title: 'The account has no credentials', retry: true },
  // the log
  query_too_costly: { status: 422, title: 'The query would take too long', retry: false },
  record_not_found: { status: 404, title: 'No such record in the log', retry: false },
  checkpoint_missing: { status: 409, title: 'No checkpoint covers it yet', retry: true },
  // what the log keeps
  subject_not_found: { status: 404, title: 'The log knows no such person', retry: false },
  hold_not_found: { status: 404, title: 'No such hold', retry: false },
  legal_hold: { status: 409, title: 'A legal hold forbids it', retry: false },
  retention_run_not_found: { status: 404, title: 'No such run of retention', retry: false },
  retention_running: { status: 409, title: 'Retention is being carried out', retry: true },
  retention_not_set_up: { status: 409, title: 'This service cannot carry out retention', retry: false },
  // the platform
  unavailable: { status: 503, title: 'A part of the platform cannot be reached', retry: true },
  timeout: { status: 504, title: 'No answer in time', retry: true },
  internal: { status: 500, title: 'A defect in the platform', retry: false },
} as const satisfies Record<string, { status: number; title: string; retry: boolean }>;

export type ErrorCode = keyof typeof errorCodes;
export const errorCodeNames = Object.keys(errorCodes) as [ErrorCode, ...ErrorCode[]];
