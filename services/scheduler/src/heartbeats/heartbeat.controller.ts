import { Controller } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import {
  Heartbeat,
  HostRegister,
  ProblemError,
  subjects,
  type ErrorCode,
  type HeartbeatAck,
  type HostRegistered,
} from '#libs/contracts';
import { Request, SignedReply, type RequestContext } from '#libs/messaging';
import { HeartbeatService } from './heartbeat.service.js';
import { proofOf } from './host-proof.js';
import { RegistrationService } from './registration.service.js';
import { RejectionLog } from './rejection.log.js';

/** What only a forger, a clone or a mix-up sends. */
const audited: ReadonlySet<ErrorCode> = new Set([
  'wrong_host',
  'bad_signature',
  'host_key_mismatch',
  'join_token_invalid',
  'host_superseded',
]);

/** The two requests of agents to the scheduler. Both are signed, and so are both answers. */
@Controller()
export class HeartbeatController {
  constructor(
    private readonly registrations: RegistrationService,
    private readonly heartbeats: HeartbeatService,
    private readonly rejections: RejectionLog,
  ) {}

  @Request(subjects.register('*'), HostRegister)
  async register(
    @Payload() body: HostRegister,
    @Ctx() ctx: RequestContext,
  ): Promise<SignedReply<HostRegistered>> {
    return this.answered('register', body.host, () => this.registrations.register(body, proofOf(ctx)));
  }

  @Request(subjects.heartbeat('*'), Heartbeat)
  async heartbeat(
    @Payload() body: Heartbeat,
    @Ctx() ctx: RequestContext,
  ): Promise<SignedReply<HeartbeatAck>> {
    return this.answered('heartbeat', body.host, () => this.heartbeats.answer(body, proofOf(ctx)));
  }

  private async answered<T>(verb: string, host: string, answer: () => Promise<T>): Promise<SignedReply<T>> {
    try {
      return new SignedReply(await answer());
    } catch (error) {
      if (error instanceof ProblemError && audited.has(error.code)) {
        const detail = error.detail.slice(0, 300);
        await this.rejections.record([{ host, allocation: null, verb, code: error.code, detail }]);
      }
      throw error;
    }
  }
}
