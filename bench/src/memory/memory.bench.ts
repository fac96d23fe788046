import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { repositoryRoot } from '#libs/testing';
import { z } from 'zod';
import { addCosts, childrenOf, type Cost, costOf, ownCostOf } from '../process.cost.js';

export interface MemoryArguments {
  readonly state: string;
  readonly json: boolean;
}

/** What we need of the record that `npm start` leaves. */
const FleetRecord = z.object({ main: z.object({ pid: z.int() }) });

/** Shows what the processes of the local fleet hold of the machine's memory; the bots' containers are not among them. */
export function memoryBench({ state, json }: MemoryArguments): void {
  const { main } = FleetRecord.parse(
    JSON.parse(readFileSync(join(resolve(repositoryRoot(), state), 'fleet.json'), 'utf8')),
  );
  const launcher = ownCostOf(main.pid);
  if (launcher === null) throw new Error('The fleet does not run; npm start brings it up.');
  const parts = new Map<string, Cost>([['launcher', launcher]]);
  for (const pid of childrenOf(main.pid)) {
    const cost = costOf(pid);
    const name = nameOf(pid);
    const before = parts.get(name);
    if (cost !== null) parts.set(name, before === undefined ? cost : addCosts(before, cost));
  }
  parts.set('total', [...parts.values()].reduce(addCosts));
  if (json) console.log(JSON.stringify(Object.fromEntries(parts), null, 2));
  else for (const [name, cost] of parts) console.log(line(name, cost));
}

const line = (name: string, { rss_mib, pss_mib }: Cost): string =>
  `${name.padEnd(20)} RSS ${rss_mib.toFixed(1).padStart(7)} MiB   PSS ${pss_mib.toFixed(1).padStart(7)} MiB`;

function nameOf(pid: number): string {
  const words = readProc(pid, 'cmdline').split('\0');
  const service = words.flatMap((word) => /services\/(\w+)\/src\/main\.js$/.exec(word)?.[1] ?? [])[0];
  if (service === 'agent') {
    const host = readProc(pid, 'environ')
      .split('\0')
      .find((entry) => entry.startsWith('TRADEFLEET_HOST='));
    return `agent ${host?.split('=')[1] ?? ''}`;
  }
  if (service !== undefined) return service;
  const [program = ''] = words;
  return words.includes('tradefleet-guardian') ? 'guardians' : (program.split('/').at(-1) ?? program);
}

function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return ''; // ended meanwhile
  }
}
