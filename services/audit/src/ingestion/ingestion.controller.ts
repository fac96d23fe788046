import { consumers } from '#libs/contracts';
import { Consume, type Delivery } from '#libs/messaging';
import { Controller } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { IngestionService } from './ingestion.service.js';

/** Every event of the fleet, in batches; acknowledged when this returns. */
@Controller()
export class IngestionController {
  constructor(private readonly ingestion: IngestionService) {}

  @Consume(consumers.audit.durable)
  async record(@Payload() deliveries: Delivery[]): Promise<void> {
    await this.ingestion.record(deliveries);
  }
}
