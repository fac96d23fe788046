/** Names of fields whose values are never written, whatever they hold. */
const secretKey =
  /password|passwd|passphrase|^pass$|^pwd$|token|secret|credential|sealed|authorization|private_?key|api_?key|cookie|^jw[et]$/i;
/** Private members of a JSON Web Key (RFC 7518, 6.2.2, 6.3.2, 6.4.1; RFC 8037, 2). */
const privateJwkMembers: ReadonlySet<string> = new Set(['d', 'k', 'p', 'q', 'dp', 'dq', 'qi']);
/**
 * `password=...`, `"token": "..."` and the like within a text, also within JSON that was quoted again. What stands in
 * quotes goes as a whole; else the value ends at the first blank or separator.
 */
const secretInText =
  /((?:password|passwd|passphrase|token|secret|authorization|private_?key|api_?key)\w{0,20}\\{0,3}["']?\s{0,4}[:=]\s{0,4})(?:(\\{0,3}["'])(?:(?!\2)(?:\\.|[^\\])){1,1024}|(?:bearer\s+|basic\s+)?[^\s"',;}&]+)/gi;
/** `//user:password@host` and `//token@host` within a text; a password may hold an `@` itself. */
const userInUrl = /(:\/\/)[^\s/?#]+@/g;

const redacted = '[redacted]';

/** Bounds of what one log line may carry. */
export const logBounds = { depth_max: 5, entries_max: 100, text_chars_max: 8192 } as const;

/** A text without the secrets that can be recognised in it, cut at `text_chars_max`. */
export function redactText(text: string): string {
  const cut =
    text.length > logBounds.text_chars_max ? `${text.slice(0, logBounds.text_chars_max)}[cut]` : text;
  return cut.replace(secretInText, `$1$2${redacted}`).replace(userInUrl, `$1${redacted}@`);
}

/**
 * A copy of a log field that can be written: values under secret names replaced, texts cleaned, errors flattened,
 * depth, breadth and length bounded. What lies deeper than `depth_max` is left out rather than trusted.
 */
export function redact(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return redactText(value);
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return typeof value === 'function' ? undefined : value;
  if (depth >= logBounds.depth_max) return '[too deep]';
  if (isError(value)) return redactError(value, depth);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (Array.isArray(value))
    return value.slice(0, logBounds.entries_max).map((item) => redact(item, depth + 1));
  if (value instanceof Map || value instanceof Set) return `[${value.constructor.name} of ${value.size}]`;
  return redactFields(value, depth);
}

/** As `redact`, for the fields of one object. */
export function redactFields(value: object, depth = 0): Record<string, unknown> {
  const isJwk = 'kty' in value;
  const out: Record<string, unknown> = {};
  for (const [key, field] of Object.entries(value).slice(0, logBounds.entries_max)) {
    const isSecret = secretKey.test(key) || (isJwk && privateJwkMembers.has(key));
    out[key] = isSecret && field !== null && field !== undefined ? redacted : redact(field, depth + 1);
  }
  return out;
}

/** Also of another realm, such as that of a test runner's sandbox. */
const isError = (value: object): value is Error =>
  value instanceof Error || Object.prototype.toString.call(value) === '[object Error]';

function redactError(error: Error, depth: number): Record<string, unknown> {
  const { name, message, stack, cause, ...rest } = error;
  return {
    ...redactFields(rest, depth),
    type: name,
    message: redactText(message),
    ...(stack === undefined ? {} : { stack: redactText(stack) }),
    ...(cause === undefined ? {} : { cause: redact(cause, depth + 1) }),
  };
}
