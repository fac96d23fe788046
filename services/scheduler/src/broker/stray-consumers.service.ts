import { Inject, Injectable } from '@nestjs/common';
import { consumers, streams } from '#libs/contracts';
import { Messaging, removeConsumer } from '#libs/messaging';
import { LOGGER, type Logger } from '#libs/telemetry';
import { HostRegistrationRepository } from '../heartbeats/host-registration.repository.js';

/** Consumers looked at in one go; far more than there are hosts. */
const listed_max = 20_000;
/** What is left is taken away by the next look. */
const removed_max = 500;

const stream = streams.commands.name;
const durableOf = (host: string): string => consumers.agentCommands(host).durable;
/** How the names of all consumers of hosts begin. */
const prefix = durableOf('h').slice(0, -1);

/**
 * Takes away the consumers of hosts that were removed, whenever that was and whether or not the broker was there: nobody
 * takes from them, and a host of the same name would begin with what was meant for another.
 */
@Injectable()
export class StrayConsumers {
  constructor(
    private readonly messaging: Messaging,
    private readonly hosts: HostRegistrationRepository,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /**
   * @param makeMissing makes the consumers of all registered hosts; called after some were taken away. A host is
   *   registered before its consumer is made, so one that has registered in between keeps its own or gets it again.
   */
  async remove(makeMissing: () => Promise<void>): Promise<void> {
    const there = await this.ofHosts();
    const wanted = new Set((await this.hosts.names()).map(durableOf));
    const strays = there.filter((durable) => !wanted.has(durable)).slice(0, removed_max);
    if (strays.length === 0) return;
    try {
      for (const durable of strays) {
        await removeConsumer(this.messaging, { stream, durable });
        this.logger.info({ consumer: durable }, 'consumer of a removed host is taken away');
      }
    } finally {
      await makeMissing();
    }
  }

  private async ofHosts(): Promise<string[]> {
    const manager = await this.messaging.manager();
    const names: string[] = [];
    let listed = 0;
    for await (const { name } of manager.consumers.list(stream)) {
      if (name.startsWith(prefix)) names.push(name);
      listed += 1;
      if (listed >= listed_max) break;
    }
    return names;
  }
}
