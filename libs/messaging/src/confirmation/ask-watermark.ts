import { randomBytes } from 'node:crypto';
import { WatermarkAnswer, type PublicJwk, type WatermarkRequest } from '#libs/contracts';
import type { Messaging } from '../messaging.js';
import { UntrustedAnswer } from '../request.js';
import type { SigningKey } from '../signing/signing-key.js';

/** What a producer asks, and what it goes by; who asks over NATS makes each question one of its own. */
export type WatermarkQuestion = Omit<WatermarkRequest, 'nonce'>;
export type Watermarks = Pick<WatermarkAnswer, 'incarnations'>;

/**
 * Asks how far a producer's events are recorded. Throws while nobody can say, and `UntrustedAnswer` for an answer that is
 * not the audit service's.
 */
export type AskWatermark = (question: WatermarkQuestion) => Promise<Watermarks>;

export interface WatermarkAsker {
  /** Throws while there is none. */
  readonly messaging: () => Pick<Messaging, 'request'>;
  /** `subjects.internal('audit', 'watermark')` of a service, `subjects.watermark(host)` of an agent. */
  readonly subject: string;
  /** The key of the producer's events: what is told to be unavailable counts as lost, which nobody may say for another. */
  readonly signer: SigningKey;
  /** The audit service's: by what is not signed with one of them nothing is deleted. */
  readonly auditKeys: readonly PublicJwk[];
}

const answer_ms_max = 5000;
const nonce_bytes = 16;

/** Asks the audit service over NATS. An answer counts when it is signed and repeats source and nonce of its question. */
export function askWatermark({ messaging, subject, signer, auditKeys }: WatermarkAsker): AskWatermark {
  return async (question) => {
    const request: WatermarkRequest = {
      ...question,
      nonce: randomBytes(nonce_bytes).toString('base64url'),
    };
    const answered = await messaging().request<unknown>(subject, request, {
      ...{ signer, verify: auditKeys, timeoutMs: answer_ms_max },
    });
    const answer = WatermarkAnswer.parse(answered);
    if (answer.source !== request.source || answer.nonce !== request.nonce)
      throw new UntrustedAnswer(
        `Look who answers on ${subject}: the answer is signed, and to another question.`,
      );
    return answer;
  };
}
