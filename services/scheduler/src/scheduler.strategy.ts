import { consumers } from '#libs/contracts';
import { CombinedServer, JetStreamServer, RequestReplyServer } from '#libs/messaging';
import type { RefusalsRecorder } from '#libs/persistence';
import type { Leadership } from './leadership/leadership.js';
import type { Platform } from './platform.module.js';

/** Events of allocations come in bursts; a batch is one transaction. */
const projection_batch_max = 500;
const projection_batch_wait_ms = 20;

/**
 * What this process listens to once it leads: requests, and the events of allocations. No queue group: the leader alone
 * answers, and one that was stopped (its subscriptions are not) must not be handed requests in its successor's stead.
 * When it goes on it finds them in its buffers, and leaves them.
 */
export function strategyOf(
  { messaging, config, signingKey }: Platform,
  refusals: RefusalsRecorder,
  leadership: Leadership,
): CombinedServer {
  const requests = new RequestReplyServer(messaging, {
    mayAnswer: () => leadership.current() !== null,
    concurrencyMax: config.requestsMax,
    replySigner: signingKey,
    onRefused: async (name, problem, context) => await refusals.request(name, problem, context),
  });
  const events = new JetStreamServer(messaging, {
    consumers: [
      {
        spec: consumers.schedulerProjection,
        batch: { max: projection_batch_max, waitMs: projection_batch_wait_ms },
      },
      {
        spec: consumers.schedulerMoves,
        batch: { max: projection_batch_max, waitMs: projection_batch_wait_ms },
      },
    ],
  });
  return new CombinedServer([requests, events]);
}
