import { randomBytes } from 'node:crypto';

/** W3C Trace Context, level 1: `00-<trace id>-<span id>-<flags>`. */
const pattern = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})$/;
const sampled = '01';
const spanId = (): string => randomBytes(8).toString('hex');

export const isTraceparent = (value: string): boolean => pattern.test(value);

/** Starts a trace. */
export const newTraceparent = (): string => `00-${randomBytes(16).toString('hex')}-${spanId()}-${sampled}`;

/** The next step of the same trace; a new trace where the given one is absent or malformed. */
export function childTraceparent(traceparent: string | undefined): string {
  const match = traceparent === undefined ? null : pattern.exec(traceparent);
  return match === null ? newTraceparent() : `00-${match[1] ?? ''}-${spanId()}-${match[3] ?? sampled}`;
}

/** The 32 hex digits that all steps of a trace share; undefined where the traceparent is malformed. */
export const traceIdOf = (traceparent: string): string | undefined => pattern.exec(traceparent)?.[1];
