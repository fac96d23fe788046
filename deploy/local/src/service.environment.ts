import { readBootstrapRecord } from '#libs/testing';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import type { StartArguments } from './arguments.js';
import { type FleetKeys, natsPasswordPath, signingKeyPath } from './fleet.keys.js';
import type { FleetPaths } from './fleet.paths.js';
import { writeFileAtomically } from './files.js';

/** Part of the machine's memory that is for bots; the rest is for the platform and whoever works on it. */
const bots_share = 0.6;

/** Where the servers are. */
export interface Address {
  readonly natsUrl: string;
  readonly gatewayPort: number;
  /** Owner of the database. */
  readonly databaseUrl: string;
  readonly auditWriterUrl: string;
  readonly auditReaderUrl: string;
  readonly auditKeeperUrl: string;
}

/**
 * The environment of a service: its own settings and nothing of ours. Secrets are named by file, so that no password
 * stands in the environment of a process.
 */
export function serviceEnvironment(
  name: 'scheduler' | 'audit' | 'secrets' | 'gateway',
  address: Address,
  paths: FleetPaths,
  keys: FleetKeys,
  /** Which of several schedulers. They share user, key and database. */
  instance: string = name,
): NodeJS.ProcessEnv {
  const own: Record<typeof name, NodeJS.ProcessEnv> = {
    scheduler: {
      TRADEFLEET_INSTANCE: instance,
      TRADEFLEET_DATABASE_URL_FILE: urlFile(paths, 'database-url', address.databaseUrl),
      TRADEFLEET_SIGNING_KEY_PATH: signingKeyPath(paths, 'scheduler'),
      TRADEFLEET_AUDIT_PUBLIC_KEY_FILE: keys.auditPublicKeyPath,
    },
    audit: {
      TRADEFLEET_DATABASE_URL_FILE: urlFile(paths, 'audit-writer-url', address.auditWriterUrl),
      TRADEFLEET_READER_DATABASE_URL_FILE: urlFile(paths, 'audit-reader-url', address.auditReaderUrl),
      TRADEFLEET_DATABASE_OWNER_URL_FILE: urlFile(paths, 'database-url', address.databaseUrl),
      TRADEFLEET_SIGNING_KEY_PATH: signingKeyPath(paths, 'audit'),
      TRADEFLEET_LOG_KEY_PATH: paths.key('audit-log.jwk'),
      TRADEFLEET_WITNESS_DIR: paths.witness,
      TRADEFLEET_AUDIT_MASTER_KEY_PATH: paths.key('audit-master-keys.json'),
      TRADEFLEET_KEEPER_DATABASE_URL_FILE: urlFile(paths, 'audit-keeper-url', address.auditKeeperUrl),
      TRADEFLEET_ARCHIVE_DIR: paths.archives,
      TRADEFLEET_TRUSTED_KEYS_FILE: keys.trustedKeysPath,
    },
    secrets: {
      TRADEFLEET_DATABASE_URL_FILE: urlFile(paths, 'database-url', address.databaseUrl),
      TRADEFLEET_MASTER_KEY_PATH: paths.key('secrets-master-keys.json'),
      TRADEFLEET_SEALING_KEY_PATH: paths.key('secrets-sealing.jwk'),
      TRADEFLEET_SIGNING_KEY_PATH: signingKeyPath(paths, 'secrets'),
      TRADEFLEET_SCHEDULER_PUBLIC_KEY_FILE: keys.schedulerPublicKeyPath,
      TRADEFLEET_AUDIT_PUBLIC_KEY_FILE: keys.auditPublicKeyPath,
    },
    gateway: {
      TRADEFLEET_PORT: String(address.gatewayPort),
      TRADEFLEET_ADMIN_TOKEN_FILE: paths.adminToken,
      TRADEFLEET_SIGNING_KEY_PATH: signingKeyPath(paths, 'gateway'),
      TRADEFLEET_AUDIT_PUBLIC_KEY_FILE: keys.auditPublicKeyPath,
      TRADEFLEET_SPOOL_PATH: join(paths.state, 'gateway-spool.sqlite'),
    },
  };
  return { ...common(name, address, paths, instance), ...own[name] };
}

/** The environment of the agent of one host, one of `hosts` that share this machine. */
export function agentEnvironment(
  host: string,
  hosts: number,
  driver: StartArguments['driver'],
  address: Address,
  paths: FleetPaths,
  keys: FleetKeys,
  offer: StartArguments['offer'] = {},
): NodeJS.ProcessEnv {
  return {
    ...common(`agent-${host}`, address, paths),
    TRADEFLEET_HOST: host,
    TRADEFLEET_FLEET: fleetName(paths.state),
    TRADEFLEET_STATE_DIR: paths.host(host),
    // A host that is known by its key needs none.
    ...(existsSync(joinTokenPath(paths, host))
      ? { TRADEFLEET_JOIN_TOKEN_FILE: joinTokenPath(paths, host) }
      : {}),
    TRADEFLEET_RUN_ROOT: join(runRoot(paths.state), host),
    TRADEFLEET_DRIVER: driver,
    TRADEFLEET_SCHEDULER_PUBLIC_KEY_FILE: keys.schedulerPublicKeyPath,
    TRADEFLEET_AUDIT_PUBLIC_KEY_FILE: keys.auditPublicKeyPath,
    TRADEFLEET_ON_SHUTDOWN: 'stop',
    ...(driver === 'simulated' ? {} : shareOfMachine(hosts)),
    ...driverEnvironment(driver, offer, paths),
  };
}

/** Fleets on one machine have different names, so that their agents leave each other's containers alone. */
export function fleetName(state: string): string {
  return `local-${createHash('sha256').update(state).digest('hex').slice(0, 8)}`;
}

/** The token a host joins with; once used it is worth nothing. */
export const joinTokenPath = (paths: FleetPaths, host: string): string => paths.key(`join-token-${host}`);

/** Where the agents keep what their containers read: in memory, because credentials pass through it. */
export const runRoot = (state: string): string => join('/dev/shm', fleetName(state));

/** Every agent would offer the whole machine; together they offer it once. */
function shareOfMachine(hosts: number): NodeJS.ProcessEnv {
  const memory_mib = Math.floor((totalmem() / 1024 ** 2) * bots_share);
  return {
    TRADEFLEET_CAPACITY_CPU_MILLIS: String(Math.floor((availableParallelism() * 1000) / hosts)),
    TRADEFLEET_CAPACITY_MEMORY_MIB: String(Math.floor(memory_mib / hosts)),
  };
}

function driverEnvironment(
  driver: StartArguments['driver'],
  offer: StartArguments['offer'],
  paths: FleetPaths,
): NodeJS.ProcessEnv {
  const record = readBootstrapRecord();
  switch (driver) {
    case 'docker':
      if (record?.docker == null || record.images?.paper == null)
        throw new Error(
          'There is no Docker Engine or no bot image; run npm start, which gets both, or use --driver process.',
        );
      return {
        TRADEFLEET_DOCKER_SOCKET: record.docker.socketPath,
        TRADEFLEET_IMAGES: JSON.stringify({ paper: record.images.paper.ref, ...offer }),
      };
    case 'process':
      return {
        TRADEFLEET_PYTHON_PATH: record?.python?.path ?? 'python3',
        TRADEFLEET_SUPERVISOR_PATH: join(paths.root, 'bot-fourni', 'supervisor.py'),
        TRADEFLEET_SUPERVISOR_PATHS: JSON.stringify(offer),
        TRADEFLEET_PROCESS_STATE_DIR: join(paths.state, 'processes'),
      };
    case 'simulated':
      return { TRADEFLEET_SIMULATED_RUNTIMES: JSON.stringify({ paper: 'runs', mt5: 'runs', ...offer }) };
  }
}

function common(user: string, address: Address, paths: FleetPaths, instance = user): NodeJS.ProcessEnv {
  return {
    PATH: process.env['PATH'],
    TZ: 'UTC',
    TRADEFLEET_NATS_URL: address.natsUrl,
    TRADEFLEET_NATS_USER: user,
    TRADEFLEET_NATS_PASSWORD_FILE: natsPasswordPath(paths, instance),
  };
}

/** A URL holds a password, so it goes into a file, too. */
function urlFile(paths: FleetPaths, name: string, url: string): string {
  const path = paths.key(name);
  writeFileAtomically(path, `${url}\n`);
  return path;
}
