/** What a fault meets: a host, the container of a bot, or the one part of that name. */
export type FaultScope = 'host' | 'bot' | 'control';

export interface FaultKind {
  readonly scope: FaultScope;
  /** How often it comes, next to the others. */
  readonly weight: number;
  /** What two faults of one round must not share: the same part cannot be killed while it is stopped. */
  readonly part: string;
  /** False: it is over as soon as it is made, and there is nothing to heal. */
  readonly lasts: boolean;
  /** For people: what is done, and what heals it. */
  readonly what: string;
}

/**
 * Every fault there is. `cut-` takes a link away, `stop-` is SIGSTOP (healed by SIGCONT), `kill-` is SIGKILL (healed by
 * a start after the time the fault lasts), `pause-` is the freezer of the container engine.
 */
export const faultKinds = {
  'cut-nats': {
    scope: 'host',
    weight: 10,
    part: 'link',
    lasts: true,
    what: 'the link of a host to NATS; its bots still reach the broker',
  },
  'cut-broker': {
    scope: 'host',
    weight: 4,
    part: 'link',
    lasts: true,
    what: 'the link of a host to the broker',
  },
  'cut-host': { scope: 'host', weight: 8, part: 'link', lasts: true, what: 'all links of a host' },
  'stop-agent': { scope: 'host', weight: 8, part: 'agent', lasts: true, what: 'SIGSTOP of an agent' },
  'stop-supervisor': {
    scope: 'bot',
    weight: 4,
    part: 'bot',
    lasts: true,
    what: 'SIGSTOP of the supervisor of a bot',
  },
  'stop-dockerd': {
    scope: 'host',
    weight: 4,
    part: 'dockerd',
    lasts: true,
    what: 'SIGSTOP of a container engine',
  },
  'stop-scheduler': {
    scope: 'control',
    weight: 8,
    part: 'scheduler',
    lasts: true,
    what: 'SIGSTOP of the scheduler that leads',
  },
  'stop-nats': { scope: 'control', weight: 4, part: 'nats', lasts: true, what: 'SIGSTOP of nats-server' },
  'stop-postgres': {
    scope: 'control',
    weight: 5,
    part: 'postgres',
    lasts: true,
    what: 'SIGSTOP of every process of Postgres',
  },
  'pause-container': { scope: 'bot', weight: 5, part: 'bot', lasts: true, what: 'docker pause of a bot' },
  'kill-agent': { scope: 'host', weight: 8, part: 'agent', lasts: true, what: 'SIGKILL of an agent' },
  'kill-supervisor': {
    scope: 'bot',
    weight: 4,
    part: 'bot',
    lasts: false,
    what: 'SIGKILL of the supervisor of a bot',
  },
  'kill-container': {
    scope: 'bot',
    weight: 4,
    part: 'bot',
    lasts: false,
    what: 'SIGKILL of the first process of a container',
  },
  'kill-dockerd': {
    scope: 'host',
    weight: 6,
    part: 'dockerd',
    lasts: true,
    what: 'SIGKILL of a container engine',
  },
  'kill-scheduler': {
    scope: 'control',
    weight: 8,
    part: 'scheduler',
    lasts: true,
    what: 'SIGKILL of the scheduler that leads',
  },
  'kill-nats': { scope: 'control', weight: 5, part: 'nats', lasts: true, what: 'SIGKILL of nats-server' },
  'kill-postgres': {
    scope: 'control',
    weight: 5,
    part: 'postgres',
    lasts: true,
    what: 'SIGKILL of Postgres',
  },
  'kill-audit': {
    scope: 'control',
    weight: 2,
    part: 'audit',
    lasts: true,
    what: 'SIGKILL of the audit service',
  },
  'kill-secrets': {
    scope: 'control',
    weight: 2,
    part: 'secrets',
    lasts: true,
    what: 'SIGKILL of the secrets service',
  },
} as const satisfies Record<string, FaultKind>;

export type FaultName = keyof typeof faultKinds;
export const faultNames = Object.keys(faultKinds) as FaultName[];

/** Faults that are asked for and cannot be made without harm to others on the machine. */
export const faultsNotPossible: Readonly<Record<string, string>> = {
  'clock-step':
    'CLOCK_REALTIME belongs to the whole machine: no time namespace offsets it, and a step would move every process here',
};
