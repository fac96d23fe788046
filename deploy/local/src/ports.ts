import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { writeFileAtomically } from './files.js';

const Port = z.int().min(1).max(65_535);
const Ports = z.strictObject({ gateway: Port, nats: Port, postgres: Port });
export type Ports = z.infer<typeof Ports>;

const names = ['gateway', 'nats', 'postgres'] as const;
/** Below the ports that Linux gives to outgoing connections, so that none of those takes one meanwhile. */
const port_first = 20_000;
const port_last = 31_999;
const tries_max = 100;

/**
 * The ports of the local fleet on 127.0.0.1, all different: the wanted ones, else those of the last run if they are
 * still free, else free ones. Throws when a wanted port is taken.
 */
export async function choosePorts(path: string, wanted: Partial<Ports>): Promise<Ports> {
  const last = readLast(path);
  // What somebody wants is nobody else's, whatever the order.
  const taken = new Set(Object.values(wanted));
  const chosen: Partial<Ports> = {};
  for (const name of names) {
    const port = wanted[name] ?? (await freePort(last[name], taken));
    if (wanted[name] !== undefined && !(await isFree(port)))
      throw new Error(`Port ${port} for ${name} is taken; choose another with --${name}-port.`);
    taken.add(port);
    chosen[name] = port;
  }
  const ports = Ports.parse(chosen);
  writeFileAtomically(path, `${JSON.stringify(ports)}\n`);
  return ports;
}

async function freePort(before: number | undefined, taken: ReadonlySet<number>): Promise<number> {
  let port = before ?? randomInt(port_first, port_last + 1);
  for (let tries = 0; tries < tries_max; tries += 1) {
    if (!taken.has(port) && (await isFree(port))) return port;
    port = randomInt(port_first, port_last + 1);
  }
  throw new Error(
    `Of ${tries_max} ports from ${port_first} to ${port_last} none was free; name some with --nats-port and the like.`,
  );
}

function readLast(path: string): Partial<Ports> {
  try {
    return Ports.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    // The first run, or a file that cannot be used: free ports do as well.
    return {};
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ host: '127.0.0.1', port }, () => server.close(() => resolve(true)));
  });
}
