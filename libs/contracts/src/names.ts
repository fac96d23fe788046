import { z } from 'zod';

/**
 * Name of a tenant, account, bot or host: unique in the whole fleet, safe as a NATS token, a container name
 * and a path segment. 1 to 40 characters, lower case letters, digits and inner hyphens.
 */
export const Name = z
  .string()
  .regex(
    /^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/,
    'must be 1 to 40 lower case letters, digits or inner hyphens',
  )
  .meta({ id: 'Name', description: 'Fleet-wide unique name', examples: ['acme-eurusd'] });

/** Identity of operations, allocations, commands and events: UUID, version 7 where we make it (sorts by time). */
export const Id = z.uuid().meta({ id: 'Id' });

/** An instant in UTC, RFC 3339 with `Z`. */
export const Timestamp = z.iso.datetime().meta({ id: 'Timestamp' });

/** Who asked: `user:<name>`, `service:<name>`, `host:<name>` or `nats:<claimed name>`; at most 100 characters. */
export const Actor = z
  .string()
  .min(1)
  .max(100)
  .regex(/^[a-z]+:[A-Za-z0-9._@/-]+$/, 'must be <kind>:<name>')
  .meta({ id: 'Actor', examples: ['user:admin', 'service:scheduler'] });

/** Counts the changes of an entity, from 1; a change carries the generation it expects. */
export const Generation = z.int().min(1).max(2_147_483_647).meta({ id: 'Generation' });

/** The fencing token of an account: grows by one with every allocation. */
export const Epoch = z.int().min(1).max(2_147_483_647).meta({ id: 'Epoch' });

/** A sentence for people, one line. */
export const Reason = z
  .string()
  .min(1)
  .max(300)
  .regex(/^[^\p{Cc}]*$/u, 'must be one line without control characters');

/** Milliseconds on the host's CLOCK_BOOTTIME. */
export const BoottimeMs = z.number().nonnegative();

/**
 * Text of at most `length_max` UTF-16 code units, several lines allowed. Without NUL and lone surrogates: Postgres
 * can store neither.
 */
export const PlainText = (length_max: number) =>
  z
    .string()
    .max(length_max)
    .regex(/^[^\p{Cs}\0]*$/u, 'must be well-formed text without NUL');

/** Public key as RFC 7517 JWK: Ed25519 to verify signatures, X25519 to seal grants. */
export const PublicJwk = z
  .strictObject({
    kty: z.literal('OKP'),
    crv: z.enum(['Ed25519', 'X25519']),
    x: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
    kid: z.string().min(1).max(64).optional(),
    alg: z.string().max(32).optional(),
    use: z.enum(['sig', 'enc']).optional(),
  })
  .meta({ id: 'PublicJwk' });
export type PublicJwk = z.infer<typeof PublicJwk>;
