import { z } from 'zod';

export type Json = Record<string, unknown>;
/** `input`: what a client may send, defaults left out. `output`: what it gets, defaults filled in. */
export type SchemaIo = 'input' | 'output';

const prefix = '#/components/schemas/';

/**
 * The named schemas of the contracts as `components.schemas` of one document; only those the document refers to.
 * A schema that is looser when it is sent (a default makes a field optional) has two names: `Policies` as it is
 * answered, `PoliciesInput` as it is asked.
 */
export class ComponentSchemas {
  private readonly named: Record<SchemaIo, ReadonlyMap<string, Json>>;
  private readonly differing: ReadonlySet<string>;
  private readonly used = new Map<string, Json>();

  constructor(private readonly target: 'openapi-3.0' | 'draft-7') {
    this.named = { input: this.registry('input'), output: this.registry('output') };
    this.differing = differingSchemas(this.named.input, this.named.output);
  }

  /** A reference to the schema when it has a name, else the schema itself with references inside. */
  of(schema: z.ZodType, io: SchemaIo): Json {
    const id = idOfSchema(schema);
    return id !== undefined ? this.reference(id, io) : this.inline(schema, io);
  }

  /** The schema itself, its fields referring to named ones. */
  inline(schema: z.ZodType, io: SchemaIo): Json {
    const id = idOfSchema(schema);
    const named = id === undefined ? undefined : this.named[io].get(id);
    return this.settled(named ?? z.toJSONSchema(schema, { ...this.options(io), cycles: 'throw' }), io);
  }

  /** All that was referred to, by name. */
  components(): Json {
    return Object.fromEntries([...this.used].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  private reference(id: string, io: SchemaIo): Json {
    const name = this.nameOf(id, io);
    if (!this.used.has(name)) {
      const schema = this.named[io].get(id);
      if (schema === undefined) throw new Error(`No schema is named ${id}`);
      this.used.set(name, {}); // holds its place against a circle
      this.used.set(name, this.settled(schema, io));
    }
    return { $ref: `${prefix}${name}` };
  }

  private nameOf(id: string, io: SchemaIo): string {
    return io === 'input' && this.differing.has(id) ? `${id}Input` : id;
  }

  /** Definitions become components, and what the target does not know is said as it can. */
  private settled(value: object, io: SchemaIo): Json {
    const walk = (inner: unknown): unknown => {
      if (Array.isArray(inner)) return inner.map(walk);
      if (typeof inner !== 'object' || inner === null) return inner;
      const { $schema, $id, id, $defs, definitions, examples, ...rest } = inner as Json;
      // Fields of an object may have such names, too; then they are schemas and stay.
      const kept = Object.fromEntries(
        Object.entries({ $schema, $id, id, $defs, definitions, examples }).filter(
          ([name, field]) => isSchema(field) && name !== '$defs' && name !== 'definitions',
        ),
      );
      const walked = Object.fromEntries(
        Object.entries({ ...kept, ...rest }).map(([key, field]) => [
          key,
          key === '$ref' ? this.reference(idOf(String(field)), io).$ref : patternOr(key, walk(field)),
        ]),
      );
      return Array.isArray(examples) ? { ...walked, ...this.exampleOf(examples) } : walked;
    };
    return walk(value) as Json;
  }

  private exampleOf(examples: unknown[]): Json {
    return this.target === 'openapi-3.0' ? { example: examples[0] } : { examples };
  }

  private registry(io: SchemaIo): ReadonlyMap<string, Json> {
    const { schemas } = z.toJSONSchema(z.globalRegistry, {
      ...this.options(io),
      uri: (id) => `${prefix}${id}`,
    });
    return new Map(Object.entries(schemas) as [string, Json][]);
  }

  private options(io: SchemaIo) {
    return { target: this.target, io, unrepresentable: 'any', reused: 'inline' } as const;
  }
}

const idOfSchema = (schema: z.ZodType): string | undefined => z.globalRegistry.get(schema)?.id;

const isSchema = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** `#/$defs/Name`, `#/definitions/Name` and `#/components/schemas/Name` -> `Name`. */
const idOf = (reference: string): string => reference.slice(reference.lastIndexOf('/') + 1);

/**
 * Patterns are JavaScript's with the flag `u`; many readers of these documents have neither the flag nor `\p`. Control
 * characters are written out. Lone surrogates cannot be in UTF-8, so leaving them out changes nothing.
 */
function patternOr(key: string, value: unknown): unknown {
  if (key !== 'pattern' || typeof value !== 'string') return value;
  return value
    .replaceAll('\\p{Cs}', '')
    .replaceAll('\\0', '\\u0000')
    .replaceAll('\\p{Cc}', '\\u0000-\\u001f\\u007f-\\u009f');
}

/** Names whose schema, or one it refers to, is not the same both ways. */
function differingSchemas(
  input: ReadonlyMap<string, Json>,
  output: ReadonlyMap<string, Json>,
): ReadonlySet<string> {
  const differing = new Set<string>();
  for (const [id, schema] of output)
    if (JSON.stringify(schema) !== JSON.stringify(input.get(id))) differing.add(id);
  for (let before = -1; before !== differing.size;) {
    before = differing.size;
    for (const [id, schema] of output)
      if (referencesIn(schema).some((other) => differing.has(other))) differing.add(id);
  }
  return differing;
}

function referencesIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) =>
    key === '$ref' && typeof inner === 'string' ? [idOf(inner)] : referencesIn(inner),
  );
}
