import { Command } from 'commander';
import type { Perform } from '../session.js';
import { gapsCommand, producersCommand, quarantineCommand } from './audit-completeness.commands.js';

/** What the audit log knows of itself; what it holds is searched with `events`. */
export function auditCommand(perform: Perform): Command {
  const audit = new Command('audit').description('whether the audit log is complete and unchanged');
  for (const make of [producersCommand, gapsCommand, quarantineCommand]) audit.addCommand(make(perform));
  return audit;
}
