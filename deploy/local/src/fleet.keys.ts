import { type NatsUser, natsUserName, SigningKey } from './messaging.parts.js';
import type { FleetPaths } from './fleet.paths.js';
import { secretFromFile, writeFileAtomically } from './files.js';

/** Users of NATS: each service and each host has its own. `client` is for people and their scripts. */
const users = ['scheduler', 'audit', 'secrets', 'gateway', 'client'] as const;

/** Who signs events with a key of its own; agents make theirs themselves. */
const services = ['scheduler', 'audit', 'secrets', 'gateway'] as const;

export interface FleetKeys {
  readonly adminToken: string;
  readonly postgresPassword: string;
  readonly auditWriterPassword: string;
  readonly auditReaderPassword: string;
  readonly auditKeeperPassword: string;
  readonly natsUsers: readonly { readonly user: NatsUser; readonly password: string }[];
  /** File with the scheduler's public key. */
  readonly schedulerPublicKeyPath: string;
  /** File with the audit service's. */
  readonly auditPublicKeyPath: string;
  /** File with the public keys that the services sign their events with. */
  readonly trustedKeysPath: string;
}

/** All keys and passwords of the local fleet, made up at the first start, each in a file for its owner alone. */
export async function fleetKeys(
  paths: FleetPaths,
  hosts: readonly string[],
  schedulers: readonly string[],
): Promise<FleetKeys> {
  const schedulerPublicKeyPath = await publicKeyFile(paths, 'scheduler');
  const auditPublicKeyPath = await publicKeyFile(paths, 'audit');
  const trustedKeysPath = await trustedKeysFile(paths);
  // One user of NATS, a file for each process: so one can be told from the other, and be kept down alone.
  const schedulerPassword = secretFromFile(natsPasswordPath(paths, 'scheduler'));
  for (const name of schedulers.slice(1))
    writeFileAtomically(natsPasswordPath(paths, name), `${schedulerPassword}\n`);
  return {
    adminToken: secretFromFile(paths.adminToken),
    postgresPassword: secretFromFile(paths.key('postgres-password')),
    auditWriterPassword: secretFromFile(paths.key('audit-writer-password')),
    auditReaderPassword: secretFromFile(paths.key('audit-reader-password')),
    auditKeeperPassword: secretFromFile(paths.key('audit-keeper-password')),
    natsUsers: [...users, ...hosts.map((agent) => ({ agent }))].map((user) => ({
      user,
      password: secretFromFile(natsPasswordPath(paths, natsUserName(user))),
    })),
    schedulerPublicKeyPath,
    auditPublicKeyPath,
    trustedKeysPath,
  };
}

/** Makes the key unless it is there: others must know it before its service starts. */
async function publicKeyFile(paths: FleetPaths, service: 'scheduler' | 'audit'): Promise<string> {
  const { publicJwk } = await SigningKey.fromFile(signingKeyPath(paths, service), { create: true });
  const path = paths.key(`${service}-public.jwk`);
  writeFileAtomically(path, `${JSON.stringify(publicJwk)}\n`);
  return path;
}

/** Makes the keys that services would make at their first start: the audit service must know them before that. */
async function trustedKeysFile(paths: FleetPaths): Promise<string> {
  const keys = await Promise.all(
    services.map(async (service) => {
      const key = await SigningKey.fromFile(signingKeyPath(paths, service), { create: true });
      return [`/${service}`, [key.publicJwk]] as const;
    }),
  );
  const path = paths.key('trusted-keys.json');
  writeFileAtomically(path, `${JSON.stringify(Object.fromEntries(keys))}\n`);
  return path;
}

export const signingKeyPath = (paths: FleetPaths, service: (typeof services)[number]): string =>
  paths.key(`${service}-signing.jwk`);

export const natsPasswordPath = (paths: FleetPaths, user: string): string =>
  paths.key(`nats-${user}-password`);
