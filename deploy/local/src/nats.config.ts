import { join } from 'node:path';
import type { FleetKeys } from './fleet.keys.js';
import type { FleetPaths } from './fleet.paths.js';
import { writeFileAtomically } from './files.js';
import { natsPermissions, natsServerConfig, natsUserName } from './messaging.parts.js';

/** Writes the configuration of the local nats-server, users and permissions in it, and gives its path. */
export function writeNatsConfig(paths: FleetPaths, port: number, keys: FleetKeys): string {
  const path = join(paths.state, 'nats.conf');
  const users = keys.natsUsers.map(({ user, password }) => ({
    user: natsUserName(user),
    password,
    permissions: natsPermissions(user),
  }));
  writeFileAtomically(path, natsServerConfig({ port, storeDir: paths.nats, users }));
  return path;
}
