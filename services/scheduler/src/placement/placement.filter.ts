import { runtimeRef, type Constraint, type Labels } from '#libs/contracts';
import type { HostFacts, PlacementRequest } from './fleet-snapshot.js';

/** Says why a host cannot take a bot, as the end of "<n> ..."; null when it can. */
export type HostFilter = (host: HostFacts, request: PlacementRequest) => string | null;

const satisfies = (labels: Labels, constraint: Constraint): boolean => {
  const value = Object.hasOwn(labels, constraint.label) ? labels[constraint.label] : undefined;
  switch (constraint.operator) {
    case 'exists':
      return value !== undefined;
    case 'in':
      return value !== undefined && constraint.values.includes(value);
    case 'not-in':
      return value === undefined || !constraint.values.includes(value);
  }
};

const describe = ({ label, operator, values }: Constraint): string =>
  operator === 'exists' ? `${label} exists` : `${label} ${operator} [${values.join(', ')}]`;

const state: HostFilter = (host) => (host.state === 'ready' ? null : host.state);

const heard: HostFilter = (host) => (host.heard ? null : 'not heard of lately');

const runtime: HostFilter = (host, request) => {
  const wanted = runtimeRef(request.runtime, request.version);
  return host.runtimes.includes(wanted) ? null : `without the runtime ${wanted}`;
};

const constraints: HostFilter = (host, request) => {
  const broken = request.constraints.find((constraint) => !satisfies(host.labels, constraint));
  return broken === undefined ? null : `not meeting ${describe(broken)}`;
};

/** Overcommit is refused: what is reserved never passes what the host offers. */
const bots: HostFilter = (host) => (host.reserved.bots + 1 <= host.capacity.bots ? null : 'full of bots');

const cpu: HostFilter = (host, { resources }) =>
  host.reserved.cpuMillis + resources.cpuMillis <= host.capacity.cpuMillis
    ? null
    : `without ${resources.cpuMillis} millicores free`;

const memory: HostFilter = (host, { resources }) =>
  host.reserved.memoryMiB + resources.memoryMiB <= host.capacity.memoryMiB
    ? null
    : `without ${resources.memoryMiB} MiB free`;

const antiAffinity: HostFilter = (host, request) =>
  request.antiAffinity === 'require' && (host.tenants.get(request.tenant) ?? 0) > 0
    ? `already running a bot of ${request.tenant}`
    : null;

/** In this order; the first that refuses names the reason. */
export const hostFilters: readonly HostFilter[] = [
  state,
  heard,
  runtime,
  constraints,
  bots,
  cpu,
  memory,
  antiAffinity,
];

/** Why the host cannot take the bot, or null. */
export function refusal(host: HostFacts, request: PlacementRequest): string | null {
  for (const filter of hostFilters) {
    const reason = filter(host, request);
    if (reason !== null) return reason;
  }
  return null;
}
