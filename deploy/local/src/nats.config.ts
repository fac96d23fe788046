import { natsServerConfig } from '#libs/messaging';
import { join } from 'node:path';
import type { FleetPaths } from './fleet.paths.js';
import { writeFileAtomically } from './files.js';

/** Writes the configuration of the local nats-server, users and permissions in it, and gives its path. */
export function writeNatsConfig(
  paths: FleetPaths,
  port: number,
  passwords: ReadonlyMap<string, string>,
): string {
  const path = join(paths.state, 'nats.conf');
  const users = [...passwords].map(([user, password]) => ({ user, password }));
  writeFileAtomically(path, natsServerConfig({ host: '127.0.0.1', port, storeDir: paths.nats, users }));
  return path;
}
