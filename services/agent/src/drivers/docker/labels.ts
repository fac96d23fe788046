import { Epoch, Id, Name, RuntimeName } from '#libs/contracts';
import { z } from 'zod';
import type { TaskHandle, TaskSpec } from '../driver.js';

/** Raised when the meaning of a label changes; a container with another schema is unreadable. */
const SCHEMA = '1';

export const label = {
  schema: 'io.tradefleet.schema',
  fleet: 'io.tradefleet.fleet',
  host: 'io.tradefleet.host',
  tenant: 'io.tradefleet.tenant',
  bot: 'io.tradefleet.bot',
  account: 'io.tradefleet.account',
  allocation: 'io.tradefleet.allocation',
  epoch: 'io.tradefleet.epoch',
  runtime: 'io.tradefleet.runtime',
} as const;

/** For people: nothing is decided by it. Not there for the host's default image. */
export const versionLabel = 'io.tradefleet.version';

/** What our labels say, besides the driver's own id. */
export type Labelled = Omit<TaskHandle, 'id'> & { readonly host: string; readonly fleet: string };

const Labels = z.object({
  [label.schema]: z.literal(SCHEMA),
  [label.fleet]: Name,
  [label.host]: Name,
  [label.tenant]: Name,
  [label.bot]: Name,
  [label.account]: Name,
  [label.allocation]: Id,
  [label.epoch]: z
    .string()
    .regex(/^[1-9][0-9]{0,9}$/)
    .transform(Number)
    .pipe(Epoch),
  [label.runtime]: RuntimeName,
});

/** Labels of everything made for one allocation. */
export function labelsOf(task: TaskSpec, fleet: string): Record<string, string> {
  return {
    [label.schema]: SCHEMA,
    [label.fleet]: fleet,
    [label.host]: task.host,
    [label.tenant]: task.tenant,
    [label.bot]: task.bot,
    [label.account]: task.account,
    [label.allocation]: task.allocation,
    [label.epoch]: String(task.epoch),
    [label.runtime]: task.runtime,
    ...(task.version === null ? {} : { [versionLabel]: task.version }),
  };
}

/** Labels of what outlives allocations: the account's volume. */
export function accountLabelsOf(task: TaskSpec, fleet: string): Record<string, string> {
  return {
    [label.schema]: SCHEMA,
    [label.fleet]: fleet,
    [label.tenant]: task.tenant,
    [label.account]: task.account,
  };
}

/** Reads labels back, or says in one sentence which of them cannot be understood. */
export function readLabels(labels: Readonly<Record<string, string>>): Labelled | { readonly why: string } {
  const parsed = Labels.safeParse(labels);
  if (!parsed.success) {
    const names = [...new Set(parsed.error.issues.map((issue) => issue.path.join('.')))];
    return { why: `labels missing or not understood: ${names.join(', ')}` };
  }
  const read = parsed.data;
  return {
    fleet: read[label.fleet],
    host: read[label.host],
    tenant: read[label.tenant],
    bot: read[label.bot],
    account: read[label.account],
    allocation: read[label.allocation],
    epoch: read[label.epoch],
    runtime: read[label.runtime],
  };
}
