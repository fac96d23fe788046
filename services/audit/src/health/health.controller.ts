import { consumers, subjects, type LogDamage } from '#libs/contracts';
import { Messaging, Request } from '#libs/messaging';
import { Controller } from '@nestjs/common';
import { z } from 'zod';
import { IngestionService } from '../ingestion/ingestion.service.js';
import { LogRepository } from '../ingestion/log.repository.js';
import { CheckpointService } from '../log/checkpoint.service.js';
import { DamageRepository } from '../self-check/damage.repository.js';

export interface AuditHealth {
  /** `degraded`: everything is recorded, but the log is not what its witness has seen, or not what was committed. */
  readonly status: 'ok' | 'degraded';
  /** The first damage that is known of; null as it should be. */
  readonly damage: LogDamage | null;
  /** Events added since the start of this process. */
  readonly ingested: number;
  /** Deliveries of events that had been recorded before. */
  readonly known: number;
  readonly quarantined: number;
  /** Events in the stream that are not recorded yet. */
  readonly lag: number;
}

/** Answers only when database and stream answer; otherwise the request fails with the problem. */
@Controller()
export class HealthController {
  constructor(
    private readonly ingestion: IngestionService,
    private readonly log: LogRepository,
    private readonly checkpoints: CheckpointService,
    private readonly damage: DamageRepository,
    private readonly messaging: Messaging,
  ) {}

  /** `fleet.v1.internal.audit.health` */
  @Request(subjects.internal('audit', 'health'), z.strictObject({}))
  async health(): Promise<AuditHealth> {
    await this.log.ping();
    const damage = await this.damage.first();
    const { stream, durable } = consumers.audit;
    const consumer = await (await this.messaging.manager()).consumers.info(stream, durable);
    return {
      status: this.checkpoints.diverged === null && damage === null ? 'ok' : 'degraded',
      damage,
      ...this.ingestion.counts(),
      lag: consumer.num_pending + consumer.num_ack_pending,
    };
  }
}
