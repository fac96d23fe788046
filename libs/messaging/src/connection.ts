import { connect, errors, type ConnectionOptions, type NatsConnection } from '@nats-io/transport-node';
import type { Clock } from '#libs/clock';
import { ProblemError } from '#libs/contracts';
import type { Logger } from '#libs/telemetry';

export interface ConnectOptions {
  /** `nats://host:port`, one or more. */
  readonly servers: string | readonly string[];
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  /** Shown by the server's monitoring. */
  readonly name: string;
  /** Default `_INBOX_<user>`, which is what the permissions of our users allow. */
  readonly inboxPrefix?: string | undefined;
  readonly clock?: Clock;
  readonly logger: Logger;
  /**
   * How often the server is asked for a sign of life; after two without an answer the connection counts as lost. Default
   * 10 s; a network that is cut says nothing by itself.
   */
  readonly pingIntervalMs?: number;
  /** How long the first connection is tried; default: for ever. */
  readonly firstConnectMs?: number;
  /** Ends the trying. */
  readonly signal?: AbortSignal;
}

const attempt_ms_max = 5000;
const backoff_ms_min = 100;
const backoff_ms_max = 5000;
const ping_interval_ms = 10_000;

/** Full jitter below a doubling bound, so that a fleet does not return all at once. Milliseconds. */
export function backoffMs(attempt: number, min_ms = backoff_ms_min, max_ms = backoff_ms_max): number {
  const bound = Math.min(max_ms, min_ms * 2 ** Math.min(attempt, 20));
  return Math.round(bound / 2 + (Math.random() * bound) / 2);
}

export const inboxPrefixOf = (user: string): string => `_INBOX_${user}`;

/**
 * Connects, trying for ever unless bounded; once connected, the client reconnects for ever by itself.
 * Throws `unauthenticated` at once for wrong credentials: waiting does not mend them.
 */
export async function openConnection(options: ConnectOptions, clock: Clock): Promise<NatsConnection> {
  const { logger, firstConnectMs = Infinity, signal } = options;
  const started_ms = clock.monotonicMs();
  let reconnects = 0;
  const settings: ConnectionOptions = {
    servers: typeof options.servers === 'string' ? [options.servers] : [...options.servers],
    name: options.name,
    timeout: attempt_ms_max,
    maxReconnectAttempts: -1,
    // The client does not say which attempt it is: the bound goes round from 100 ms to 1.6 s, since leases wait for it.
    reconnectDelayHandler: () => backoffMs(reconnects++ % 5),
    // A password is changed while agents run; they come back when they are known again.
    ignoreAuthErrorAbort: true,
    pingInterval: options.pingIntervalMs ?? ping_interval_ms,
    maxPingOut: 2,
    // Otherwise the client takes a stack trace for every request and publish, in case it should fail.
    noAsyncTraces: true,
    ...(options.user === undefined ? {} : { user: options.user, inboxPrefix: inboxPrefixOf(options.user) }),
    ...(options.password === undefined ? {} : { pass: options.password }),
    ...(options.inboxPrefix === undefined ? {} : { inboxPrefix: options.inboxPrefix }),
  };
  for (let attempt = 0; ; attempt++) {
    signal?.throwIfAborted();
    try {
      return await connect(settings);
    } catch (error) {
      if (error instanceof errors.AuthorizationError)
        throw new ProblemError(
          'unauthenticated',
          `Check user and password of ${options.name}: NATS refuses them.`,
          { cause: error },
        );
      if (clock.monotonicMs() - started_ms >= firstConnectMs)
        throw new ProblemError('unavailable', 'Start NATS or correct its address: it cannot be reached.', {
          cause: error,
        });
      if (attempt % 10 === 0) logger.warn({ err: error, attempt }, 'NATS cannot be reached yet');
      await clock.sleep(backoffMs(attempt), signal);
    }
  }
}
