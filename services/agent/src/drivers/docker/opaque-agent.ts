import { Agent } from 'node:http';
import { inspect } from 'node:util';

/**
 * A connection for each call, and nothing to look at. For a message that nobody reads, docker-modem has Node print the
 * options of every call to any depth; through the agent that is every socket, request and answer under way. With forty
 * calls open that stood still for half a minute, longer than a lease.
 */
export class OpaqueAgent extends Agent {
  constructor() {
    // No keep-alive: a connection kept over a restart of the engine would fail the next call.
    super({ keepAlive: false });
  }

  [inspect.custom](): string {
    return 'OpaqueAgent';
  }
}
