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
  return Object.entries(headers).find(([key]) => key.toLowerCase() === wanted)?.[1];
}
