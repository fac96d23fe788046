import { readFileSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { NoFleetError, UsageError } from './exit.codes.js';
import type { Surroundings } from './surroundings.js';

export interface GatewayOptions {
  readonly gateway?: string;
  readonly tokenFile?: string;
}

/** Where the gateway is and what opens it. */
export interface GatewaySettings {
  readonly url: string;
  readonly token: string;
}

/** The part of `.tradefleet/fleet.json` that a client needs; written by the local fleet while it runs. */
const FleetRecord = z.object({ schema: z.literal(1), gatewayUrl: z.url() });

const token_bytes_max = 4096;
const parents_max = 100;

/**
 * Options first, then the environment, then the local fleet: the one of the nearest directory upwards that has one,
 * else that of this checkout. The local fleet's token goes to the local fleet only.
 * Throws `UsageError` or `NoFleetError`.
 */
export function gatewaySettings(options: GatewayOptions, surroundings: Surroundings): GatewaySettings {
  const { env, cwd } = surroundings;
  const given = options.gateway ?? env['TRADEFLEET_GATEWAY_URL'];
  const local = localFleet(surroundings);
  const url = given === undefined ? local?.url : checkedUrl(given);
  if (url === undefined)
    throw new NoFleetError(
      'No fleet is running here: start one with npm start, or name a gateway with --gateway and --token-file.',
    );
  const path = options.tokenFile ?? env['TRADEFLEET_TOKEN_FILE'];
  if (path !== undefined) return { url, token: readToken(resolve(cwd, path)) };
  if (local === null || new URL(local.url).origin !== new URL(url).origin)
    throw new UsageError(
      `Give --token-file, too (or TRADEFLEET_TOKEN_FILE): no other token is sent to ${url}.`,
    );
  return { url, token: readToken(local.tokenFile) };
}

/** A token and passwords go over this connection: in the clear to this machine only. */
function checkedUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (
    url === null ||
    !['http:', 'https:'].includes(url.protocol) ||
    url.username !== '' ||
    url.password !== ''
  )
    throw new UsageError(
      '--gateway must be an address such as http://127.0.0.1:7400, without user and password.',
    );
  const loopback = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(url.hostname);
  if (url.protocol === 'http:' && !loopback)
    throw new UsageError(
      `${url.origin} is not this machine: use https, or a tunnel such as ssh -L, so that the token is not sent in the clear.`,
    );
  return url.origin;
}

function localFleet({ cwd, repositoryRoot }: Surroundings): { url: string; tokenFile: string } | null {
  for (const folder of [...upwards(cwd), repositoryRoot]) {
    const state = join(folder, '.tradefleet');
    const url = recordedUrl(join(state, 'fleet.json'));
    if (url !== null) return { url, tokenFile: join(state, 'keys', 'admin-token') };
  }
  return null;
}

function* upwards(from: string): Generator<string> {
  let folder = resolve(from);
  for (let count = 0; count < parents_max; count += 1) {
    yield folder;
    if (dirname(folder) === folder) return;
    folder = dirname(folder);
  }
}

function recordedUrl(path: string): string | null {
  try {
    return FleetRecord.parse(JSON.parse(readFileSync(path, 'utf8'))).gatewayUrl;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    if (code === 'EACCES')
      throw new NoFleetError(`The fleet of ${path} belongs to another user.`, { cause: error });
    throw new NoFleetError(`${path} does not describe a running fleet; npm stop, then npm start.`, {
      cause: error,
    });
  }
}

function readToken(path: string): string {
  let token: string;
  try {
    const { mode, size } = statSync(path);
    if (size > token_bytes_max) throw new UsageError(`${path} is too large for a token.`);
    if ((mode & 0o077) !== 0) throw new UsageError(`Run chmod 600 ${path}: others can read the token.`);
    token = readFileSync(path, 'utf8').trim();
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`The token file ${path} cannot be read (${codeOf(error)}).`, { cause: error });
  }
  if (!/^[\x21-\x7e]+$/.test(token)) throw new UsageError(`${path} holds no token.`);
  return token;
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? 'unknown';
