import { eventTypeParts, eventTypes, type EventTypeName } from '#libs/contracts';
import type { StoredFilter } from './stored.query.js';

/** Adds a value to those of a statement and gives the name by which the statement knows it. */
export type Parameter = (value: unknown) => string;

/** Kinds of entity that any event can be about. */
const entities = [
  ...new Set((Object.keys(eventTypes) as EventTypeName[]).map((type) => eventTypeParts(type).entity)),
];

/** The gravest ones are few and have an index of their own, whose condition stands here word by word. */
const atLeast = {
  info: 'true',
  notice: "severity IN ('notice', 'warning', 'critical')",
  warning: "severity IN ('warning', 'critical')",
  critical: "severity = 'critical'",
} as const;

/** Times before 1970 stand for "always": some of them are beyond what the database can read. */
const instant = (text: string): string => new Date(Math.max(0, Date.parse(text))).toISOString();

/** What `audit.events` is asked with: one condition for each filter that is given. */
export function conditionsOf(filter: StoredFilter, parameter: Parameter): string[] {
  const { severity, text, actors, subjects, entity, entityId, from, to } = filter;
  const equal = (column: string, value: string | undefined): string[] =>
    value === undefined ? [] : [`${column} = ${parameter(value)}`];
  const conditions = [
    ...equal('entity', entity),
    ...equal('entity_id', entityId),
    ...equal('type', filter.type),
    ...equal('source', filter.source),
    ...equal('retention', filter.retention),
    ...equal('trace_id', filter.traceId),
  ];
  // An id alone would miss its index, which begins with the entity.
  if (entityId !== undefined && entity === undefined)
    conditions.push(`entity = ANY (${parameter(entities)})`);
  // A list does not give the order of time, one name does.
  if (actors?.length === 1) conditions.push(...equal('actor', actors[0]));
  else if (actors !== undefined) conditions.push(`actor = ANY (${parameter(actors)})`);
  if (subjects?.length === 1) conditions.push(...equal('subject_id', subjects[0]));
  else if (subjects !== undefined) conditions.push(`subject_id = ANY (${parameter(subjects)}::uuid[])`);
  if (severity !== undefined) conditions.push(atLeast[severity]);
  // As the index has it, word by word.
  if (text !== undefined)
    conditions.push(
      `details <> '' AND to_tsvector('simple', details) @@ websearch_to_tsquery('simple', ${parameter(text)})`,
    );
  if (from !== undefined) conditions.push(`time >= ${parameter(instant(from))}`);
  if (to !== undefined) conditions.push(`time < ${parameter(instant(to))}`);
  return conditions;
}
