/** What the gateway calls those who did not say who they are: nobody. */
const unknownUser = 'user:unknown';

/**
 * Whether an actor is a person, whose name the log does not show. An actor that looks like what the log writes instead is
 * sealed, too: so whatever anybody claims to be called, `subject:<id>` in a record was written by the sealer.
 */
export const isPerson = (actor: string): boolean =>
  (actor.startsWith('user:') && actor !== unknownUser) || actor.startsWith('subject:');

/** How a record names the person whose key it is sealed under. */
export const subjectActor = (subjectId: string): string => `subject:${subjectId}`;

/** The name of one whom only a value is known of, such as `ip:192.0.2.7`. */
export const subjectOfValue = (field: string, value: unknown): string =>
  `${field}:${typeof value === 'string' ? value : JSON.stringify(value)}`;
