import { api, apiNames, commonErrors, type ErrorCode, errorCodeNames, errorCodes } from '#libs/contracts';
import { code, codes, page, table } from './markdown.js';

/** docs/generated/errors.md */
export function errorsPage(): string {
  const rows = errorCodeNames.map((name) => {
    const { status, title, retry } = errorCodes[name];
    return [code(name), String(status), title, retry ? 'yes' : 'no', answeredBy(name)];
  });
  return page(
    'Error codes',
    'libs/contracts/src/error-codes.ts and api.ts',
    'Every refusal is a problem document (RFC 9457) with a stable `code` and a `detail` that says what to do. Over HTTP it is the body, with media type `application/problem+json`; over NATS it is `problem` in `{"ok":false,"problem":{…}}`. *Again* tells whether the same request may succeed later.',
    table(['code', 'status', 'meaning', 'again', 'operations'], rows),
  );
}

function answeredBy(name: ErrorCode): string {
  if (commonErrors.includes(name)) return 'all';
  const operations = apiNames.filter((operation) => api[operation].errors.includes(name));
  return operations.length === 0 ? (elsewhere[name] ?? 'reserved') : codes(operations);
}

/** Codes that no operation of the API lists, and the door they come from. */
const elsewhere: Partial<Record<ErrorCode, string>> = {
  unknown_subject: 'HTTP: no such route',
  unauthenticated: 'HTTP: all',
  host_key_mismatch: 'agent: register',
  host_superseded: 'agent: register',
  host_not_registered: 'agent: heartbeat',
  bad_signature: 'agent: register, heartbeat, grant; commands',
  wrong_host: 'agent: register, heartbeat; commands',
  command_expired: 'commands',
  stale_epoch: 'agent: grant; commands',
  grant_refused: 'agent: grant',
};
