import { Inject, Injectable } from '@nestjs/common';
import { statfsSync } from 'node:fs';
import { EventSpool } from '#libs/spool';
import { AGENT_CONFIG, type AgentConfig } from '../agent.config.js';
import { NoRoom } from '../errors.js';

/** Left on the disk for what lives already: it goes on reporting when new work is no longer taken on. */
const free_bytes_min = 32 * 1024 * 1024;

/** Whether this host has room to tell what becomes of new work. */
@Injectable()
export class EventRoom {
  constructor(
    private readonly spool: EventSpool,
    @Inject(AGENT_CONFIG) private readonly config: Pick<AgentConfig, 'stateDir'>,
  ) {}

  /** @throws NoRoom before an event would have to be dropped */
  require(): void {
    if (!this.spool.hasRoom) throw new NoRoom('spool_full');
    const { bavail, bsize } = statfsSync(this.config.stateDir);
    if (bavail * bsize < free_bytes_min) throw new NoRoom('disk_full');
  }
}
