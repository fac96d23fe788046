import { WatermarkAnswer, type WatermarkRequest } from '#libs/contracts';
import type { Messaging } from '../messaging.js';
import type { SigningKey } from '../signing/signing-key.js';

/** Asks how far a producer's events are recorded. Throws while nobody can say. */
export type AskWatermark = (request: WatermarkRequest) => Promise<WatermarkAnswer>;

const answer_ms_max = 5000;

/**
 * Asks the audit service over NATS, signed with the key of the producer's events: what is told to be unavailable counts
 * as lost there, which nobody may say for another.
 * @param subject `subjects.internal('audit', 'watermark')` of a service, `subjects.watermark(host)` of an agent
 */
export function askWatermark(
  messaging: () => Pick<Messaging, 'request'>,
  subject: string,
  signer: SigningKey,
): AskWatermark {
  return async (request) =>
    WatermarkAnswer.parse(
      await messaging().request<unknown>(subject, request, { signer, timeoutMs: answer_ms_max }),
    );
}
