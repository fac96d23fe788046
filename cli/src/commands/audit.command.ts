import { Command } from 'commander';
import type { Perform } from '../session.js';
import { holdCommand } from './audit-hold.commands.js';
import { eraseCommand, subjectCommand } from './audit-privacy.commands.js';
import { retentionCommand } from './audit-retention.commands.js';
import { exportCommand, verifyCommand } from './audit-export.commands.js';
import { restoreCommand } from './audit-restore.command.js';
import { checkpointCommand, proofCommand } from './audit-proof.commands.js';
import { reportCommand, securityCommand, unusualCommand } from './audit-security.commands.js';
import { gapsCommand, producersCommand, quarantineCommand } from './audit-completeness.commands.js';

/** What the audit log knows of itself; what it holds is searched with `events`. */
export function auditCommand(perform: Perform): Command {
  const audit = new Command('audit').description(
    'whether the audit log is complete and unchanged, and what concerns security in it',
  );
  for (const make of [producersCommand, gapsCommand, quarantineCommand]) audit.addCommand(make(perform));
  for (const make of [exportCommand, verifyCommand, restoreCommand, checkpointCommand, proofCommand])
    audit.addCommand(make(perform));
  for (const make of [retentionCommand, holdCommand, subjectCommand, eraseCommand])
    audit.addCommand(make(perform));
  for (const make of [securityCommand, unusualCommand, reportCommand]) audit.addCommand(make(perform));
  return audit;
}
