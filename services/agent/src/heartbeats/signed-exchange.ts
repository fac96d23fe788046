import { Inject, Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { ProblemError, type PublicJwk } from '#libs/contracts';
import { Broker } from '../host/broker.js';
import { Identity } from '../identity/identity.js';

/** The scheduler's public keys: commands and answers are signed with one of them. */
export const SCHEDULER_KEYS = Symbol('SchedulerKeys');

/** Requests to the scheduler that both sides sign. */
@Injectable()
export class SignedExchange {
  constructor(
    private readonly broker: Broker,
    private readonly identity: Identity,
    @Inject(SCHEDULER_KEYS) private readonly schedulerKeys: readonly PublicJwk[],
  ) {}

  /**
   * Sends `body` under this host's signature and gives the answer once its signature is verified.
   * @throws ProblemError the scheduler's (a refusal needs no signature: it gives no rights), `bad_signature` for an
   *   answer that is not the scheduler's, `timeout`, `unavailable`, `invalid_request` for one that does not fit.
   */
  async ask<T extends z.ZodType>(
    subject: string,
    body: object,
    schema: T,
    timeoutMs: number,
  ): Promise<z.output<T>> {
    const result = await this.broker.messaging.request(subject, body, {
      timeoutMs,
      signer: this.identity.signingKey,
      verify: this.schedulerKeys,
    });
    const answer = schema.safeParse(result);
    if (!answer.success) throw ProblemError.fromZod(answer.error, "the scheduler's answer");
    return answer.data;
  }
}
