import { z } from 'zod';
import { Id, Name } from './names.js';

/** Gateway to an agent: the last lines of an allocation's output. */
export const LogsRequest = z
  .strictObject({ host: Name, allocation: Id, lines: z.int().min(1).max(1000).default(200) })
  .meta({ id: 'LogsRequest' });
export const LogsReply = z
  .strictObject({
    lines: z.array(
      z.strictObject({ at: z.string(), stream: z.enum(['stdout', 'stderr']), text: z.string().max(8192) }),
    ),
  })
  .meta({ id: 'LogsReply' });
