import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/**
 * Below the ports that Linux gives to outgoing connections: while a server that was killed is away, those who try to
 * reach it again, from this very machine, would now and then be given its own port, and it could not come back.
 */
const port_first = 10_000;
const port_last = 19_999;
const tries_max = 100;

/** A port that was free a moment ago on 127.0.0.1. Another process may take it: who listens on it tries again. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < tries_max; tries += 1) {
    const port = randomInt(port_first, port_last + 1);
    if (await isFree(port)) return port;
  }
  throw new Error(`Of ${tries_max} ports from ${port_first} to ${port_last} none was free.`);
}

async function isFree(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ host: '127.0.0.1', port }, () => server.close(() => resolve(true)));
  });
}
