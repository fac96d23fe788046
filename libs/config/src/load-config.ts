import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { z } from 'zod';

/** All that is wrong with a configuration, one fault a line; each says what to do. Quotes no secret. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';

  constructor(readonly faults: readonly string[]) {
    super(`Correct the configuration:\n${faults.map((fault) => `- ${fault}`).join('\n')}`);
  }
}

/** Marks a field as secret: its value may come from a file only its owner can read, and is never quoted. */
const secrets = z.registry<{ secret: true }>();
export function secret<S extends z.ZodType>(schema: S): S {
  secrets.add(schema, { secret: true });
  return schema;
}

/** Says of a required field what to set it to: told when it is missing. */
const remedies = z.registry<{ sentence: string }>();
export function remedied<S extends z.ZodType>(schema: S, sentence: string): S {
  remedies.add(schema, { sentence });
  return schema;
}

export interface LoadOptions {
  /** Of every variable; `TRADEFLEET_` makes `natsUrl` the variable `TRADEFLEET_NATS_URL`. */
  readonly prefix: string;
  /** Default: the process's. */
  readonly env?: NodeJS.ProcessEnv;
}

const file_suffix = '_FILE';
const file_bytes_max = 64 * 1024;
const others_may = 0o077;

/**
 * Reads the fields of a schema from the environment: `<PREFIX>NATS_URL`, or the content of the file that
 * `<PREFIX>NATS_URL_FILE` names. Numbers, booleans (true, false, 1, 0), comma lists and JSON objects are understood by
 * the type of the field. Variables with the prefix that are not in the schema are refused. Throws `ConfigurationError`.
 */
export function loadConfig<S extends z.ZodObject>(
  schema: S,
  { prefix, env = process.env }: LoadOptions,
): z.output<S> {
  const fields = Object.entries(schema.shape).map(([key, type]) => ({
    key,
    variable: `${prefix}${toVariable(key)}`,
    type: type as z.ZodType,
  }));
  const faults = unknownVariables(
    prefix,
    env,
    fields.map(({ variable }) => variable),
  );
  const input: Record<string, unknown> = {};
  for (const { key, variable, type } of fields) {
    try {
      const text = textOf(variable, isSecret(type), env);
      if (text !== undefined) input[key] = coerce(text, type);
    } catch (error) {
      faults.push(error instanceof Error ? error.message : String(error));
    }
  }
  const parsed = schema.safeParse(input);
  if (!parsed.success)
    for (const issue of parsed.error.issues) {
      const field = fields.find(({ key }) => key === issue.path[0]);
      // A fault in reading the field has been told already.
      if (field !== undefined && faults.some((fault) => fault.includes(`${field.variable} `))) continue;
      faults.push(faultOf(issue, field, field !== undefined && !(field.key in input)));
    }
  if (!parsed.success || faults.length > 0) throw new ConfigurationError(faults);
  return parsed.data;
}

/** `natsUrl` -> `NATS_URL`. */
const toVariable = (key: string): string => key.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toUpperCase();

/** The type below optional, default, nullable, pipe and the like. */
function innermost(type: z.ZodType): z.ZodType {
  let current: z.ZodType = type;
  // Nesting is bounded by whoever wrote the schema; the bound here is against a mistake in this loop.
  for (let depth = 0; depth < 20; depth++) {
    const definition = current.def as { innerType?: z.ZodType; in?: z.ZodType };
    const inner = definition.innerType ?? definition.in;
    if (inner === undefined) return current;
    current = inner;
  }
  return current;
}

function isSecret(type: z.ZodType): boolean {
  let current: z.ZodType | undefined = type;
  while (current !== undefined) {
    if (secrets.has(current)) return true;
    const definition = current.def as { innerType?: z.ZodType; in?: z.ZodType };
    current = definition.innerType ?? definition.in;
  }
  return false;
}

function textOf(variable: string, secretField: boolean, env: NodeJS.ProcessEnv): string | undefined {
  const direct = env[variable];
  const path = env[`${variable}${file_suffix}`];
  if (path === undefined) return direct;
  if (direct !== undefined) throw new Error(`Set ${variable} or ${variable}${file_suffix}, not both.`);
  return readValueFile(path, `${variable}${file_suffix}`, secretField);
}

function readValueFile(path: string, variable: string, secretField: boolean): string {
  const file = openOrExplain(path, variable);
  try {
    const { mode, size } = fstatSync(file);
    if (size > file_bytes_max)
      throw new Error(`Give ${variable} a file of at most ${file_bytes_max} bytes: ${path} has ${size}.`);
    if (secretField && (mode & others_may) !== 0)
      throw new Error(`Run chmod 0600 ${path}: the secret that ${variable} names is open to others.`);
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '');
  } finally {
    closeSync(file);
  }
}

function openOrExplain(path: string, variable: string): number {
  try {
    return openSync(path, 'r');
  } catch (error) {
    const code =
      typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : 'unknown';
    throw new Error(`Make the file ${path} that ${variable} names readable: ${code}.`, { cause: error });
  }
}

function coerce(text: string, type: z.ZodType): unknown {
  const inner = innermost(type);
  if (inner instanceof z.ZodNumber) return /^\s*$/.test(text) ? text : numberOr(text);
  if (inner instanceof z.ZodBoolean) return booleanOr(text);
  if (inner instanceof z.ZodArray)
    return text.trimStart().startsWith('[') ? jsonOr(text) : listOf(text, inner);
  if (inner instanceof z.ZodObject || inner instanceof z.ZodRecord) return jsonOr(text);
  return text;
}

const numberOr = (text: string): number | string => {
  const number = Number(text);
  return Number.isNaN(number) ? text : number;
};

function booleanOr(text: string): boolean | string {
  const lower = text.trim().toLowerCase();
  if (lower === 'true' || lower === '1') return true;
  if (lower === 'false' || lower === '0') return false;
  return text;
}

const listOf = (text: string, array: z.ZodArray): unknown[] =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => coerce(part, array.element as z.ZodType));

function jsonOr(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

function faultOf(
  issue: z.core.$ZodIssue,
  field: { readonly variable: string; readonly type: z.ZodType } | undefined,
  missing: boolean,
): string {
  const name = field?.variable ?? issue.path.join('.');
  const remedy = field === undefined ? undefined : remedies.get(field.type);
  if (missing)
    return `Set ${name} (or ${name}${file_suffix})${remedy === undefined ? '.' : `: ${remedy.sentence}`}`;
  const below = issue.path.slice(1).join('.');
  return `Correct ${name}${below === '' ? '' : ` at ${below}`}: ${issue.message}.`;
}

function unknownVariables(prefix: string, env: NodeJS.ProcessEnv, known: readonly string[]): string[] {
  const names = new Set(known.flatMap((name) => [name, `${name}${file_suffix}`]));
  return Object.keys(env)
    .filter((name) => name.startsWith(prefix) && !names.has(name))
    .sort()
    .map((name) => {
      const nearest = nearestOf(name, [...names]);
      return `Remove ${name}: there is no such setting${nearest === undefined ? '' : `; did you mean ${nearest}?`}`;
    });
}

const nearest_edits_max = 4;

function nearestOf(name: string, candidates: readonly string[]): string | undefined {
  const [best] = candidates
    .map((candidate) => ({ candidate, edits: editDistance(name, candidate) }))
    .sort((a, b) => a.edits - b.edits);
  return best !== undefined && best.edits <= nearest_edits_max ? best.candidate : undefined;
}

/** Levenshtein: insertions, deletions and replacements that turn one into the other. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, replace));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
