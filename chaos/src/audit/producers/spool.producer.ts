import { join } from 'node:path';
import type { Clock } from '#libs/clock';
import { newId, subjects, type PublicJwk } from '#libs/contracts';
import { askWatermark, type Messaging, type SigningKey } from '#libs/messaging';
import { EventSpool, SpoolFile, SpoolPublisher } from '#libs/spool';
import type { Logger } from '#libs/telemetry';
import type { EventProducer, NumberedEvent, ProducerState } from './event.producer.js';

export interface SpoolProducerParts {
  readonly host: string;
  /** Where its file is made. */
  readonly folder: string;
  /** As the user of the host's agent. */
  readonly messaging: Messaging;
  readonly signingKey: SigningKey;
  /** The audit service's. */
  readonly auditKeys: readonly PublicJwk[];
  readonly clock: Clock;
  readonly logger: Logger;
}

/** An agent as far as its events go: the very spool, publisher and confirmation that agents have, without containers. */
export class SpoolProducer implements EventProducer {
  readonly source: string;
  readonly incarnation = newId();
  private readonly file: SpoolFile;
  private readonly spool: CountingSpool;
  private readonly publisher: SpoolPublisher;
  private readonly events: NumberedEvent[] = [];

  constructor(private readonly parts: SpoolProducerParts) {
    const { host, folder, messaging, signingKey, auditKeys, clock, logger } = parts;
    this.source = `/agent/${host}`;
    this.file = new SpoolFile(join(folder, `${host}.sqlite`));
    this.spool = new CountingSpool(this.file, clock, {
      incarnation: this.incarnation,
      events_max: Number.MAX_SAFE_INTEGER,
    });
    this.publisher = new SpoolPublisher({
      ...{ spool: this.spool, db: this.file, messaging: () => messaging, source: this.source, signingKey },
      ask: askWatermark({
        ...{ messaging: () => messaging, subject: subjects.watermark(host), signer: signingKey, auditKeys },
      }),
      ...{ clock, logger },
    });
  }

  start(): void {
    this.publisher.start();
  }

  async write(count: number): Promise<number> {
    const { host } = this.parts;
    const written = await this.file.commit(() => {
      for (let n = 0; n < count; n += 1) {
        const allocation = newId();
        const bound = { allocation, tenant: 'tenant-1', bot: 'bot-1', account: 'account-1', host, epoch: 1 };
        this.spool.append({
          ...{ type: 'tradefleet.allocation.running', subjectId: allocation, actor: `host:${host}` },
          traceparent: null,
          data: {
            ...bound,
            state: 'running',
            stage: null,
            attempt: 1,
            reason: null,
            detail: null,
            exitCode: null,
          },
        });
      }
      return this.file.all(
        'SELECT id, sequence FROM spool WHERE incarnation = ? AND sequence > ? ORDER BY sequence',
        this.incarnation,
        this.events.length,
      );
    });
    for (const row of written)
      this.events.push({
        ...{ id: String(row['id']), incarnation: this.incarnation, sequence: Number(row['sequence']) },
      });
    return written.length;
  }

  async state(): Promise<ProducerState> {
    return {
      ...{ written: this.events.length, kept: this.spool.kept, refilled: this.spool.refilled },
    };
  }

  async journal(): Promise<readonly NumberedEvent[]> {
    return this.events;
  }

  async stop(): Promise<void> {
    await this.publisher.close();
    this.file.close();
    await this.parts.messaging.drain();
  }
}

class CountingSpool extends EventSpool {
  refilled = 0;

  override async again(...asked: Parameters<EventSpool['again']>): Promise<number[]> {
    const there = await super.again(...asked);
    this.refilled += there.length;
    return there;
  }
}
