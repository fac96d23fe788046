import {
  ProblemError,
  signatureHeader,
  subjects,
  WatermarkRequest,
  type WatermarkAnswer,
} from '#libs/contracts';
import { header, Request, SignedReply, type RequestContext } from '#libs/messaging';
import { Controller } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { hostOf, SignatureCheck } from '../classification/signature.check.js';
import { WatermarkService } from './watermark.service.js';

/** No incarnation: only the present key of a host may ask, for all it ever had. */
const noIncarnation = '00000000-0000-0000-0000-000000000000';

@Controller()
export class WatermarkController {
  constructor(
    private readonly watermark: WatermarkService,
    private readonly signatures: SignatureCheck,
  ) {}

  /** `fleet.v1.internal.audit.watermark`. Errors: wrong_host, bad_signature. */
  @Request(subjects.internal('audit', 'watermark'), WatermarkRequest)
  async ofService(
    @Payload() request: WatermarkRequest,
    @Ctx() context: RequestContext,
  ): Promise<SignedReply<WatermarkAnswer>> {
    if (hostOf(request.source) !== null)
      throw new ProblemError(
        'wrong_host',
        `Ask on ${subjects.watermark('*')}: ${request.source} is an agent.`,
      );
    return await this.answer(request, context);
  }

  /** `fleet.v1.agent.<host>.watermark`. Errors: wrong_host, bad_signature, host_not_registered. */
  @Request(subjects.watermark('*'), WatermarkRequest)
  async ofAgent(
    @Payload() request: WatermarkRequest,
    @Ctx() context: RequestContext,
  ): Promise<SignedReply<WatermarkAnswer>> {
    if (hostOf(request.source) !== context.hostToken)
      throw new ProblemError(
        'wrong_host',
        `Ask for /agent/${context.hostToken ?? ''}, or on the subject of its host.`,
      );
    return await this.answer(request, context);
  }

  /**
   * What a producer says is unavailable is given up, and what it is answered it deletes: so either must be who it says it is.
   */
  private async answer(
    request: WatermarkRequest,
    context: RequestContext,
  ): Promise<SignedReply<WatermarkAnswer>> {
    const signature = header(context.headers, signatureHeader);
    const producer = { source: request.source, incarnation: noIncarnation };
    const verdict = await this.signatures.check(producer, context.rawBody, signature);
    if (verdict === 'unknown' && hostOf(request.source) !== null)
      throw new ProblemError(
        'host_not_registered',
        `Ask again when the registration of ${request.source} has been recorded.`,
      );
    if (verdict !== 'good')
      throw new ProblemError('bad_signature', `Sign the question with the key of ${request.source}.`);
    const { source, nonce } = request;
    return new SignedReply({ source, nonce, ...(await this.watermark.answer(request)) });
  }
}
