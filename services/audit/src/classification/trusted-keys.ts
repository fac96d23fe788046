import { PublicJwk } from '#libs/contracts';
import { z } from 'zod';

const keys = z.array(PublicJwk).min(1).max(8);

/**
 * The public keys that the events of each service are signed with. Several while a key is being replaced: the new one is
 * added here before it is used, the old one stays until nothing signed with it is on its way. Keys of hosts are not here:
 * they are in the recorded events of their registration.
 */
export const TrustedKeys = z
  .strictObject({ '/scheduler': keys, '/secrets': keys, '/gateway': keys, '/audit': keys })
  .partial();
export type TrustedKeys = z.infer<typeof TrustedKeys>;
