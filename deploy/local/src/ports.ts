import { createServer } from 'node:net';
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { freePort } from '#libs/testing';
import { writeFileAtomically } from './files.js';

const Port = z.int().min(1).max(65_535);
const Ports = z.strictObject({ gateway: Port, nats: Port, postgres: Port });
export type Ports = z.infer<typeof Ports>;

/**
 * The ports of the local fleet on 127.0.0.1: the wanted ones, else those of the last run if they are still free,
 * else free ones. Throws when a wanted port is taken.
 */
export async function choosePorts(path: string, wanted: Partial<Ports>): Promise<Ports> {
  const last = readLast(path);
  const chosen: Partial<Ports> = {};
  for (const name of ['gateway', 'nats', 'postgres'] as const)
    chosen[name] = await choose(name, wanted, last);
  const ports = Ports.parse(chosen);
  writeFileAtomically(path, `${JSON.stringify(ports)}\n`);
  return ports;
}

async function choose(name: keyof Ports, wanted: Partial<Ports>, last: Partial<Ports>): Promise<number> {
  const asked = wanted[name];
  if (asked !== undefined) {
    if (await isFree(asked)) return asked;
    throw new Error(`Port ${asked} for ${name} is taken; choose another with --${name}-port.`);
  }
  const before = last[name];
  return before !== undefined && (await isFree(before)) ? before : freePort();
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
