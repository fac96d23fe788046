import { OutboxRelay } from '#libs/persistence';
import { Injectable, type OnModuleDestroy } from '@nestjs/common';

/** What this service tells of itself, on its way into its own log. */
@Injectable()
export class OwnEvents implements OnModuleDestroy {
  constructor(private readonly relay: OutboxRelay) {}

  start(): void {
    this.relay.start();
  }

  /** While the database is there: what is not published is published at the next start. */
  async onModuleDestroy(): Promise<void> {
    await this.relay.stop();
  }
}
