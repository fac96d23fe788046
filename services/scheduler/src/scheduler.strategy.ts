import { consumers } from '#libs/contracts';
import { CombinedServer, JetStreamServer, RequestReplyServer } from '#libs/messaging';
import type { Platform } from './platform.module.js';
import type { RefusalsRecorder } from './requests/refusals.recorder.js';

/** Schedulers share the requests that come on a subject. */
const queue = 'scheduler';
/** Events of allocations come in bursts; a batch is one transaction. */
const projection_batch_max = 500;
const projection_batch_wait_ms = 20;

/** What this process listens to: requests, and the events of allocations. */
export function strategyOf(
  { messaging, config, signingKey }: Platform,
  refusals: RefusalsRecorder,
): CombinedServer {
  const requests = new RequestReplyServer(messaging, {
    queue,
    concurrencyMax: config.requestsMax,
    replySigner: signingKey,
    onRefused: async (name, problem, context) => await refusals.record(name, problem, context),
  });
  const events = new JetStreamServer(messaging, {
    consumers: [
      {
        spec: consumers.schedulerProjection,
        batch: { max: projection_batch_max, waitMs: projection_batch_wait_ms },
      },
    ],
  });
  return new CombinedServer([requests, events]);
}
