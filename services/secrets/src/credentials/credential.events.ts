import { Injectable } from '@nestjs/common';
import { Outbox } from '#libs/persistence';
import type { Storing } from '../engines/engine.js';

/** Makes every stored version an event, whoever chose the password. */
@Injectable()
export class CredentialEvents {
  constructor(private readonly outbox: Outbox) {}

  storing(account: string, by: string, traceparent?: string): Storing {
    return {
      by,
      record: async (transaction, version) => {
        await this.outbox.event(transaction, {
          type: 'tradefleet.credential.set',
          id: account,
          data: { account, version },
          actor: by,
          traceparent,
        });
      },
    };
  }
}
