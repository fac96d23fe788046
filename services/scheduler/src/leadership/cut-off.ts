import type { Clock } from '#libs/clock';
import type { ConnectionState } from '#libs/messaging';
import type { Logger } from '#libs/telemetry';
import type { Leadership } from './leadership.js';

/** What is needed of `Messaging`. */
export interface BrokerConnection {
  isConnected(): boolean;
  onStatus(listener: (state: ConnectionState) => void): () => void;
}

export interface CutOffOptions {
  readonly messaging: BrokerConnection;
  readonly leadership: Leadership;
  readonly clock: Clock;
  readonly logger: Logger;
  /** How long the broker may be away. */
  readonly patienceMs: number;
  /** The lead is given up; the process must end, and start again as a candidate. */
  readonly onResigned: (reason: string) => void;
}

/**
 * Gives the lead up when the broker is out of reach for longer than `patienceMs`. A leader that reaches the database and
 * no host would renew its lease for ever and have every bot end, while a standby might reach them all. Where the broker
 * is away for everybody nothing is lost by it: candidates wait until they are connected.
 */
export function resignWhenCutOff(options: CutOffOptions): void {
  const { messaging, leadership, clock, logger, patienceMs, onResigned } = options;
  let waiting = new AbortController();
  const stop = messaging.onStatus((state) => {
    waiting.abort();
    waiting = new AbortController();
    if (state === 'disconnected') void expect(waiting.signal);
    if (state === 'closed') stop();
  });

  async function expect(signal: AbortSignal): Promise<void> {
    try {
      await clock.sleep(patienceMs, signal);
    } catch (error) {
      if (signal.aborted) return;
      throw error;
    }
    // Not leading: it is ending already.
    if (messaging.isConnected() || leadership.current() === null) return;
    stop();
    logger.error({ patienceMs }, 'NATS is out of reach: the lead is given up');
    await leadership.resign();
    onResigned('NATS is out of reach');
  }
}
