import { z } from 'zod';
import { FleetEvent } from '../event/event.schema.js';
import { limits } from '../limits.js';
import { Id, Reason, Timestamp } from '../names.js';

/**
 * Whom the log knows by a key of their own: a person as events name it, `user:ada`, or what stands for an unknown one, such
 * as `ip:192.0.2.7`.
 */
export const SubjectName = z
  .string()
  .max(300)
  .regex(/^[a-z]{1,20}:[^\s\p{Cc}\p{Cs}]{1,200}$/u, 'must be <kind>:<name>, such as user:ada')
  .meta({ id: 'SubjectName', examples: ['user:ada', 'ip:192.0.2.7'] });

/** By name, or by the id that stands in records. */
const whom = { name: SubjectName.optional(), subject: Id.optional() };
const exactlyOne = ({ name, subject }: { name?: string | undefined; subject?: string | undefined }) =>
  (name === undefined) !== (subject === undefined);
const notOne = { path: ['name'], message: 'give either name or subject' };

/** There is no way back. The reason is kept in the log for good: it should not name the person. */
export const SubjectErase = z
  .strictObject({ ...whom, reason: Reason })
  .refine(exactlyOne, notOne)
  .meta({ id: 'SubjectErase' });
export type SubjectErase = z.infer<typeof SubjectErase>;

/** What was erased: the keys. The records stay, and nobody can read their personal values any more. */
export const SubjectErased = z
  .strictObject({
    subjects: z.array(z.strictObject({ subject: Id, records: z.int().min(0) })),
    erasedAt: Timestamp,
  })
  .meta({ id: 'SubjectErased' });
export type SubjectErased = z.infer<typeof SubjectErased>;

/** Oldest first. `after` is `next` of the page before. */
export const SubjectExport = z
  .strictObject({
    ...whom,
    limit: z.int().min(1).max(limits.page_rows_max).default(limits.page_rows_default),
    after: z.string().max(200).optional(),
  })
  .refine(exactlyOne, notOne)
  .meta({ id: 'SubjectExport' });
export type SubjectExport = z.infer<typeof SubjectExport>;

/** Events of which personal values are this person's, readable. What is archived is not among them. */
export const SubjectExported = z
  .strictObject({ subjects: z.array(Id), events: z.array(FleetEvent), next: z.string().nullable() })
  .meta({ id: 'SubjectExported' });
export type SubjectExported = z.infer<typeof SubjectExported>;

/** Data of the event that tells of an erasure. */
export const SubjectErasedEventData = z.strictObject({
  subject: Id,
  records: z.int().min(0),
  reason: Reason,
});

/** Data of the event that tells that somebody took a person's data out. */
export const SubjectExportedEventData = z.strictObject({ subject: Id });
