import { Controller } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { AllocationCheck, subjects, type AllocationChecked } from '#libs/contracts';
import { Request } from '#libs/messaging';
import type { z } from 'zod';
import { AllocationRepository } from './allocation.repository.js';

/** Answers the secrets service: grants are for live allocations alone. */
@Controller()
export class AllocationCheckController {
  constructor(private readonly allocations: AllocationRepository) {}

  @Request(subjects.internal('allocations', 'check'), AllocationCheck)
  async check(
    @Payload() check: z.output<typeof AllocationCheck>,
  ): Promise<z.output<typeof AllocationChecked>> {
    return { live: await this.allocations.isLive(check) };
  }
}
