import { PublicJwk } from '#libs/contracts';
import { z } from 'zod';
import { remedied } from './load-config.js';

/** One public Ed25519 key as JWK, or several while a key is replaced: an array of them. */
const PublicKeys = () =>
  z.preprocess(
    (text): unknown => {
      const value = typeof text === 'string' ? parsed(text) : text;
      return typeof value === 'object' && value !== null && !Array.isArray(value) ? [value] : value;
    },
    z
      .array(
        PublicJwk.refine(({ crv }) => crv === 'Ed25519', 'must be an Ed25519 key: it verifies signatures'),
      )
      .min(1)
      .max(8),
  );

const ofService = (name: string): string =>
  `the public half of the key that TRADEFLEET_SIGNING_KEY_PATH of the ${name} names; ` +
  'docs/OPERATIONS.md, "Keys of services", says how to get it.';

/** Keys of the scheduler, that commands, leases and answers are verified with. */
export const SchedulerPublicKeys = remedied(PublicKeys(), ofService('scheduler'));

/** Keys of the audit service, that the answers by which a producer deletes its events are verified with. */
export const AuditPublicKeys = remedied(PublicKeys(), ofService('audit service'));

/** The text itself where it is no JSON: the schema says what is wrong with it. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}
