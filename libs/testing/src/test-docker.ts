import { readBootstrapRecord } from './bootstrap-record.js';

export interface TestDocker {
  readonly socketPath: string;
  readonly version: string;
  /** Reference of the paper bot image, null before it has been built. */
  readonly paperImage: { readonly ref: string; readonly id: string } | null;
}

const unix = 'unix://';

/**
 * The Docker Engine for tests: the one that `DOCKER_HOST` names as a socket, else the one the bootstrap has found. A test
 * that needs it fails where there is none: it never passes by skipping.
 */
export function testDocker(): TestDocker {
  const record = readBootstrapRecord();
  const docker = record?.docker ?? null;
  if (docker === null) {
    throw new Error(
      'This test needs Docker and .tradefleet/bootstrap.json names none. Run `node tools/bootstrap.mjs --for test`.',
    );
  }
  const host = process.env['DOCKER_HOST'] ?? '';
  const socketPath = host.startsWith(unix) ? host.slice(unix.length) : docker.socketPath;
  return { ...docker, socketPath, paperImage: record?.images?.paper ?? null };
}
