import { type ApiResponse } from '#libs/contracts';
import { Api } from '#libs/messaging';
import { Controller } from '@nestjs/common';
import { LeaderRepository } from '../leadership/leader.repository.js';

/** `fleet.v1.api.fleet.leader`: answered by the leader alone, as everything is. */
@Controller()
export class LeaderController {
  constructor(private readonly leader: LeaderRepository) {}

  @Api('fleet.leader')
  async read(): Promise<ApiResponse<'fleet.leader'>> {
    return await this.leader.read();
  }
}
