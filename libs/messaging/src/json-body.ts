import { limits, ProblemError } from '#libs/contracts';

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false });

/**
 * The JSON of a request's body. Throws `payload_too_large` beyond `limits.message_bytes_max`, and `malformed_json`.
 * An empty body is an empty object, so that `nats req <subject> ''` works for operations without fields.
 */
export function parseBody(bytes: Uint8Array): unknown {
  if (bytes.byteLength > limits.message_bytes_max)
    throw new ProblemError(
      'payload_too_large',
      `Send at most ${limits.message_bytes_max} bytes; this body has ${bytes.byteLength}.`,
    );
  return bytes.byteLength === 0 ? {} : parseJson(bytes);
}

/** The JSON of bytes. Throws `malformed_json`, without cause: the parser's message would quote the body. */
export function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(decoder.decode(bytes)) as unknown;
  } catch {
    throw new ProblemError('malformed_json', 'Send one JSON value in UTF-8: the body cannot be parsed.');
  }
}

export const encodeJson = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value), 'utf8');
