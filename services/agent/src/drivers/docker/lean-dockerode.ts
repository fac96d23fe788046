import { createRequire } from 'node:module';
import type Docker from 'dockerode';

/**
 * dockerode without what an agent has no use for: at its load it brings a client of gRPC (for building images) and
 * one of SSH (for engines elsewhere), 1.8 MB of source that stay in the memory of every host. Calls over a socket
 * touch neither. Where these modules were loaded before, or modules cannot be replaced, they are as they are.
 */
export function loadDockerode(): typeof Docker {
  const here = createRequire(import.meta.url);
  const dockerode = createRequire(here.resolve('dockerode'));
  const modem = createRequire(dockerode.resolve('docker-modem'));
  for (const [from, unused] of [
    [dockerode, '@grpc/grpc-js'],
    [dockerode, '@grpc/proto-loader'],
    [dockerode, 'protobufjs'],
    [modem, 'ssh2'],
  ] as const)
    leaveOut(from, unused);
  return here('dockerode') as typeof Docker;
}

function leaveOut(from: NodeJS.Require, name: string): void {
  const path = from.resolve(name);
  from.cache[path] ??= { ...emptyModule, id: path, filename: path, path, require: from };
}

const emptyModule = {
  exports: {},
  loaded: true,
  children: [],
  paths: [],
  parent: null,
  isPreloading: false,
};
