import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { subjects } from '#libs/contracts';
import { askWatermark } from '#libs/messaging';
import { EventSpool, SpoolPublisher } from '#libs/spool';
import { LOGGER, type Logger } from '#libs/telemetry';
import { AGENT_CONFIG, type AgentConfig } from '../agent.config.js';
import { Broker } from '../host/broker.js';
import { Identity } from '../identity/identity.js';
import { AgentDatabase } from '../state/agent.database.js';

/** Brings this host's events to the broker, and keeps them until the audit service has them. */
@Injectable()
export class EventPublisher extends SpoolPublisher {
  constructor(
    spool: EventSpool,
    broker: Broker,
    { host, source, signingKey }: Identity,
    db: AgentDatabase,
    @Inject(AGENT_CONFIG) { auditPublicKey: auditKeys }: AgentConfig,
    @Inject(CLOCK) clock: Clock,
    @Inject(LOGGER) logger: Logger,
  ) {
    const messaging = () => broker.messaging;
    const subject = subjects.watermark(host);
    const ask = askWatermark({ messaging, subject, signer: signingKey, auditKeys });
    super({ spool, db, messaging, source, signingKey, ask, clock, logger });
  }
}
