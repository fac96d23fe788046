import type { Constraint } from '#libs/contracts';
import { InvalidArgumentError, Option } from 'commander';
import type { z } from 'zod';
import { UsageError } from './exit.codes.js';

/** Reads a whole number from `least` to `most`. */
export function integer(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : NaN;
    if (!(value >= least && value <= most))
      throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
    return value;
  };
}

/** `--limit`: rows of a list. */
export const limitOption = (rows_default: number): Option =>
  new Option('--limit <n>', 'rows at most').default(rows_default).argParser(integer(1, 100_000));

/** `--idempotency-key`: for a write that is to be carried out at most once over several runs. */
export const idempotencyOption = (): Option =>
  new Option(
    '--idempotency-key <key>',
    'the same key with the same request is carried out once (default: a new one)',
  );

/** `--generation`: refuse when the entity has changed since it was read. */
export const generationOption = (): Option =>
  new Option('--generation <n>', 'refuse when it is at another generation').argParser(
    integer(1, 2_147_483_647),
  );

export const waitOptions = (): Option[] => [
  new Option('--wait', 'wait until the operation has ended').default(false),
  new Option('--timeout <s>', 'longest wait in seconds').default(300).argParser(integer(1, 86_400)),
];

/** Collects the values of an option that may be given several times. */
export const collect =
  <T>(read: (text: string) => T) =>
  (text: string, before: readonly T[] = []): T[] => [...before, read(text)];

export type ParameterValue = string | number | boolean;

/**
 * `name=value` of a strategy's parameter: `true`, `false` and plain numbers are what they look like, text in double
 * quotes is text, and so is everything else.
 */
export function parameter(text: string): readonly [string, ParameterValue] {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('It must be <name>=<value>.');
  return [text.slice(0, at), scalar(text.slice(at + 1))];
}

function scalar(text: string): ParameterValue {
  if (text === 'true' || text === 'false') return text === 'true';
  if (/^-?(0|[1-9]\d*)(\.\d+)?$/.test(text) && text.length <= 15) return Number(text);
  if (/^".*"$/s.test(text))
    try {
      return String(JSON.parse(text));
    } catch (error) {
      throw new InvalidArgumentError(`${text} is not JSON text: ${(error as Error).message}.`);
    }
  return text;
}

/** Reads `text` by a schema as a JSON object, such as `{"attempts":5}`; what is left out gets its default. */
export const json =
  <S extends z.ZodType>(schema: S) =>
  (text: string): z.output<S> => {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      throw new InvalidArgumentError(`It is not JSON: ${(error as Error).message}.`);
    }
    const read = schema.safeParse(value);
    if (read.success) return read.data;
    const [issue] = read.error.issues;
    throw new InvalidArgumentError(
      `${issue?.path.join('.') ?? ''} ${issue?.message ?? 'does not fit'}`.trim(),
    );
  };

/** `zone in a,b`, `zone not-in a,b` or `zone exists`. */
export function constraint(text: string): Constraint {
  const [label = '', operator, values = '', ...rest] = text.trim().split(/\s+/);
  if (operator === 'exists' && values === '') return { label, operator, values: [] };
  if ((operator === 'in' || operator === 'not-in') && values !== '' && rest.length === 0)
    return { label, operator, values: values.split(',') };
  throw new InvalidArgumentError(
    'It must be "<label> in <a>,<b>", "<label> not-in <a>,<b>" or "<label> exists".',
  );
}

const durations_ms = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;

/** A duration in milliseconds: `500ms`, `30s`, `10m`, `2h`. */
export function duration(text: string): number {
  const [, count, unit] = /^(\d{1,7})(ms|s|m|h)$/.exec(text) ?? [];
  if (count === undefined)
    throw new InvalidArgumentError('It must be a duration such as 500ms, 30s, 10m or 2h.');
  return Number(count) * durations_ms[unit as keyof typeof durations_ms];
}

const units_ms = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/**
 * An instant, or how long before `wall_ms`: `2026-01-31T12:00:00Z`, `15m`, `2h`, `3d`. Answers RFC 3339 in UTC.
 * Throws `UsageError`.
 */
export function instant(text: string, option: string, wall_ms: number): string {
  const [, count, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  if (count !== undefined)
    return new Date(wall_ms - Number(count) * units_ms[unit as keyof typeof units_ms]).toISOString();
  const at = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : NaN;
  if (Number.isNaN(at))
    throw new UsageError(
      `${option} must be an instant such as 2026-01-31T12:00:00Z, or an age such as 15m, 2h or 3d.`,
    );
  return new Date(at).toISOString();
}

/** Options that were given, as optional fields of a request. */
export const given = <T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
