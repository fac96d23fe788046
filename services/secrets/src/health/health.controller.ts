import { Controller, Inject } from '@nestjs/common';
import { subjects } from '#libs/contracts';
import { Request } from '#libs/messaging';
import { OutboxRelay } from '#libs/persistence';
import { z } from 'zod';
import { SECRETS_ENGINE, type SecretsEngine } from '../engines/engine.js';

@Controller()
export class HealthController {
  constructor(
    @Inject(SECRETS_ENGINE) private readonly engine: SecretsEngine,
    private readonly relay: OutboxRelay,
  ) {}

  /** Answers only when the database does, so that `ok` means able to work. */
  @Request(subjects.internal('secrets', 'health'), z.strictObject({}))
  async health(): Promise<{ status: 'ok'; engine: string; backlog: number; unconfirmed: number }> {
    return {
      status: 'ok',
      engine: this.engine.name,
      backlog: await this.relay.backlog(),
      unconfirmed: await this.relay.unconfirmed(),
    };
  }
}
