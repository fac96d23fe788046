import type { JsMsg } from '@nats-io/jetstream';
import { headers as createHeaders, type MsgHdrs } from '@nats-io/transport-node';

/** Headers of a message by name, one value each. */
export type Headers = Readonly<Record<string, string>>;

const header_chars_max = 4096;
const headers_max = 64;

/** First value of each header; names as sent. Bounded: what is beyond is left out. */
export function readHeaders(headers: MsgHdrs | undefined): Record<string, string> {
  if (headers === undefined) return {};
  const out: Record<string, string> = {};
  for (const name of headers.keys().slice(0, headers_max)) {
    const value = headers.get(name);
    if (value.length <= header_chars_max) out[name] = value;
  }
  return out;
}

const decoder = new TextDecoder();

/**
 * As `readHeaders`, of a message of a stream, read from its bytes: what the library makes of them, lists in a map, takes
 * more time and memory than all else that is done to receive a message. It throws for a name that it would not send; here
 * nothing throws, for such a message is to reach whoever puts it aside.
 */
export function readMessageHeaders(message: JsMsg): Record<string, string> {
  const { msg } = message as JsMsg & { readonly msg?: BytesOfMessage };
  const { _rdata: bytes, _msg: { hdr } = {} } = msg ?? {};
  if (bytes === undefined || hdr === undefined) return readHeaders(message.headers);
  return hdr <= 0 ? {} : parseHeaders(decoder.decode(bytes.subarray(0, hdr)));
}

/** Where the class behind the library's type keeps a message as it came: headers, then the body. */
interface BytesOfMessage {
  readonly _rdata?: Uint8Array;
  /** `hdr`: how many bytes the headers take; -1 for none. */
  readonly _msg?: { readonly hdr?: number };
}

/** `NATS/1.0`, perhaps with a status, then a line for each header; each ends with CR LF. */
function parseHeaders(text: string): Record<string, string> {
  const out: Record<string, string> = {};
  let names = 0;
  let at = text.indexOf('\r\n') + 2;
  while (at > 1 && names < headers_max) {
    const end = text.indexOf('\r\n', at);
    if (end === -1) break;
    const colon = text.indexOf(':', at);
    if (colon === -1) break;
    if (colon < end) {
      const name = text.slice(at, colon);
      if (!Object.hasOwn(out, name)) {
        names += 1;
        const value = text.slice(colon + 1, end).trim();
        if (value.length <= header_chars_max) out[name] = value;
      }
    }
    at = end + 2;
  }
  return out;
}

export function writeHeaders(values: Headers): MsgHdrs {
  const headers = createHeaders();
  for (const [name, value] of Object.entries(values)) headers.set(name, value);
  return headers;
}

/** A header's value without regard to case, as stock clients differ in it. */
export function header(headers: Headers, name: string): string | undefined {
  const exact = headers[name];
  if (exact !== undefined) return exact;
  const wanted = name.toLowerCase();
  for (const key of Object.keys(headers))
    if (key.length === name.length && key.toLowerCase() === wanted) return headers[key];
  return undefined;
}
