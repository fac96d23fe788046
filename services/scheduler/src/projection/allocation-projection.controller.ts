import { Controller } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { consumers } from '#libs/contracts';
import { Consume, type Delivery } from '#libs/messaging';
import { AllocationProjectionService } from './allocation-projection.service.js';

/** Takes the events of allocations in batches; acknowledged once they are in the database. */
@Controller()
export class AllocationProjectionController {
  constructor(private readonly projection: AllocationProjectionService) {}

  @Consume(consumers.schedulerProjection.durable)
  async project(@Payload() deliveries: Delivery[]): Promise<void> {
    await this.projection.project(deliveries);
  }
}
