import { Controller } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { consumers } from '#libs/contracts';
import { Consume, type Delivery } from '#libs/messaging';
import { PreparationProjectionService } from './preparation-projection.service.js';

/** Takes what agents say of their preparations, in batches; acknowledged once it is in the database. */
@Controller()
export class PreparationProjectionController {
  constructor(private readonly projection: PreparationProjectionService) {}

  @Consume(consumers.schedulerMoves.durable)
  async project(@Payload() deliveries: Delivery[]): Promise<void> {
    await this.projection.project(deliveries);
  }
}
