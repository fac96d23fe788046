import { AuditPublicKeys, SchedulerPublicKeys, secret } from '#libs/config';
import { JoinToken, Labels, Name, RuntimeName, RuntimeRef } from '#libs/contracts';
import { logLevels } from '#libs/telemetry';
import { z } from 'zod';

/** DI token of the `AgentConfig`. */
export const AGENT_CONFIG = Symbol('AgentConfig');

/** Settings of the agent; each is an environment variable `TRADEFLEET_...`, or a file `TRADEFLEET_..._FILE`. */
export const AgentConfig = z.strictObject({
  /** Name of this host, unique in the fleet. */
  host: Name,
  /** `nats://host:port`, several separated by commas. */
  natsUrl: z.array(z.string().regex(/^(nats|tls):\/\//, 'must begin with nats:// or tls://')).min(1),
  natsUser: z.string().min(1).optional(),
  natsPassword: secret(z.string().min(1)).optional(),
  /** Public key of the scheduler as a JWK: commands and answers it did not sign are refused. */
  schedulerPublicKey: SchedulerPublicKeys,
  /** Public key of the audit service as a JWK: by an answer it did not sign no event is deleted. */
  auditPublicKey: AuditPublicKeys,

  /**
   * Lets this agent join as this host, once (`tradefleet hosts invite`). Sent until it is registered; afterwards the
   * host is known by its key. Best named by file: a used one is worth nothing and may stay there.
   */
  joinToken: secret(JoinToken).optional(),

  /** Keys and state of this agent, mode 0700; made at the first start. Not to be shared or copied. */
  stateDir: z.string().min(1),
  /** Runtime directories of the bots, with their credentials: a tmpfs of this host alone. */
  runRoot: z.string().min(1),
  /** Lets the run root be on a disk: for development without real accounts. */
  runRootAllowDisk: z.boolean().default(false),

  /** How bots run: `docker`, `process` (development), `simulated` (scale tests; nothing runs). */
  driver: z.enum(['docker', 'process', 'simulated']).default('docker'),
  /** Which installation's containers are ours, on an engine that several share. */
  fleet: Name.default('tradefleet'),
  dockerSocket: z.string().min(1).default('/var/run/docker.sock'),
  /**
   * Image of each runtime this host offers, and of its versions, by digest, id or content tag:
   * `{"paper":"tradefleet/paper-bot:src-...","paper@v2":"..."}`. An allow-list: nothing else is ever run.
   */
  images: z.record(RuntimeRef, z.string().min(1)).default({}),
  /** Whether an image named by digest may be fetched from its registry. */
  imagesPull: z.boolean().default(false),
  /** Runtimes whose bots reach out of this host, as to a broker. Every other bot has a network that leads nowhere. */
  egress: z.array(RuntimeName).default([]),
  /** Where bots get their networks from, a /29 each. */
  addressPool: z.string().min(1).default('10.201.0.0/16'),
  /** Containers being made and started at a time: between these bounds the agent finds what the engine takes. */
  startsParallelMin: z.int().min(1).max(64).default(2),
  startsParallelMax: z.int().min(1).max(64).default(8),
  /**
   * What becomes of containers of this host that no live allocation owns: `remove`, or `report`: what runs is killed
   * all the same, what is left stays for a person to look at. What is not this fleet's is never touched.
   */
  strayContainers: z.enum(['remove', 'report']).default('remove'),
  /** Whether housekeeping removes networks, volumes and images nobody needs, or only reports what it would. */
  housekeeping: z.enum(['remove', 'report']).default('remove'),
  /** How long the volume of an account that has no bot here is kept: it may hold a terminal's profile. Default a week. */
  volumesKeepHours: z.int().min(1).max(87_600).default(168),
  /** How long an image that the agent has fetched and no runtime names any more is kept. */
  imagesKeepHours: z.int().min(1).max(87_600).default(72),
  /** How long the last lines of an ended allocation can be asked for. 0: not at all. */
  lastLogsKeepHours: z.int().min(0).max(720).default(24),
  /** Python of the driver `process`. */
  pythonPath: z.string().min(1).optional(),
  /** `supervisor.py` of the driver `process`. */
  supervisorPath: z.string().min(1).optional(),
  /** Those of versions: `{"paper@v2":"/opt/tradefleet-v2/supervisor.py"}`. */
  supervisorPaths: z.record(RuntimeRef, z.string().min(1)).default({}),
  /** What the driver `simulated` offers: bots that run, or that end by themselves soon after their start. */
  simulatedRuntimes: z.record(RuntimeRef, z.enum(['runs', 'exits'])).default({ paper: 'runs', mt5: 'runs' }),
  /** Where the driver `process` keeps its records; agents of one machine share it. Default: in the state directory. */
  processStateDir: z.string().min(1).optional(),

  /** Shown to placement: `{"region":"eu"}`. */
  labels: Labels.default({}),
  /** Offered instead of what was measured. */
  capacityCpuMillis: z.int().min(1).optional(),
  capacityMemoryMib: z.int().min(1).optional(),
  /** As many as a heartbeat can tell of. */
  capacityBots: z.int().min(1).max(1000).optional(),
  /**
   * Kept back for the machine itself. Default: a twentieth of what was measured, at least 100 millicores and 256 MiB;
   * nothing of a capacity that is set here.
   */
  reservedCpuMillis: z.int().min(0).optional(),
  reservedMemoryMib: z.int().min(0).optional(),

  /**
   * Taken off every lease, so that a bot is dead, and its last order has reached the broker or never will, before the
   * lease ends for the scheduler. Made of the worst measured time from SIGKILL to dead (under load about 500 ms), the
   * look of the supervisor (250 ms), the longest the kernel goes on sending an order (1400 ms, `ordersDoNotLinger`) and
   * the coarseness of the clocks (20 ms), rounded up.
   */
  leaseMarginMs: z.int().min(0).max(60_000).default(2250),
  /** Longest wait for the answer to a heartbeat. */
  heartbeatTimeoutMs: z.int().min(100).max(60_000).default(2500),
  /** Allocations being prepared at a time. */
  lanesWorkingMax: z.int().min(1).max(1000).default(16),
  /**
   * Events that may wait to be recorded by the audit service before new work is refused; about 1 KiB each on the disk. A
   * host that starts a bot every ten seconds makes about one a second: the default lasts it more than a day.
   */
  spoolEventsMax: z.int().min(100).max(10_000_000).default(100_000),
  /**
   * What becomes of the bots when the agent is asked to end: `keep` lets them run, bounded by their leases, for the
   * next agent to adopt; `stop` ends them first.
   */
  onShutdown: z.enum(['keep', 'stop']).default('keep'),
  logLevel: z.enum(logLevels).default('info'),
});
export type AgentConfig = z.output<typeof AgentConfig>;
