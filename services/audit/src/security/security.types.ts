import { eventTypeParts, securityEvents, type EventTypeName } from '#libs/contracts';
import type { Queryable } from '../database/roles.js';

/**
 * As the owner: tells the database which events a security review reads, and how. Types are added and changed, never
 * removed: a newer service may have told of them.
 */
export async function writeSecurityTypes(owner: Queryable): Promise<void> {
  const rows = (Object.keys(securityEvents) as EventTypeName[]).flatMap((type) => {
    const mark = securityEvents[type];
    if (mark === null) return [];
    const { entity, what } = eventTypeParts(type);
    const { eventType, result, actionField = null } = mark;
    return { type, eventType, result, action: `${entity}.${what}`, actionField };
  });
  await owner.query(
    `INSERT INTO audit.security_types AS old (type, event_type, result, action, action_field)
     SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
     ON CONFLICT (type) DO UPDATE
        SET (event_type, result, action, action_field) =
            (excluded.event_type, excluded.result, excluded.action, excluded.action_field)
      WHERE old IS DISTINCT FROM excluded`,
    [
      rows.map((row) => row.type),
      rows.map((row) => row.eventType),
      rows.map((row) => row.result),
      rows.map((row) => row.action),
      rows.map((row) => row.actionField),
    ],
  );
}
