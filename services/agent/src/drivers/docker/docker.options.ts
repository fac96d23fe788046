import { Name, type RuntimeName, type RuntimeRef } from '#libs/contracts';
import { defaultTimeouts, type EngineTimeouts } from './docker.engine.js';
import type { StartLimitBounds } from '../start-limit.js';
import { imageReference, type ImageReference } from './image-reference.js';
import { parseSubnet, slots, type Subnet } from './subnets.js';

export interface DockerDriverOptions {
  /** Name of the installation. Containers of another fleet on the same engine are not ours. */
  readonly fleet: string;
  /** This agent's host. Several agents may share an engine; each sees its own containers only. */
  readonly host: string;
  readonly socketPath: string;
  /**
   * The image of each runtime and version this host offers: a content tag, a digest or an image id; never `latest`.
   * Nothing else is run.
   */
  readonly images: Readonly<Record<RuntimeRef, string>>;
  /** Whether an image with a digest may be fetched from its registry. Default: no. */
  readonly pull?: boolean;
  /** Where networks get their /29 from. Default 10.201.0.0/16, room for 8,192. */
  readonly addressPool?: string;
  /** Least and most pieces of start work at the engine at a time, see `StartLimit`. Default 2 and 8. */
  readonly startsParallelMin?: number;
  readonly startsParallelMax?: number;
  /** Runtimes whose network leads out of the host. Default none: every network is internal. */
  readonly egress?: readonly RuntimeName[];
  /** Most bots at once, for the fingerprint. Default 500, or what the pool has room for. */
  readonly botsMax?: number;
  readonly timeouts?: Partial<EngineTimeouts>;
}

export interface DockerSettings {
  readonly fleet: string;
  readonly host: string;
  readonly socketPath: string;
  readonly images: ReadonlyMap<RuntimeRef, ImageReference>;
  readonly pull: boolean;
  readonly pool: Subnet;
  readonly startsParallel: StartLimitBounds;
  readonly egress: ReadonlySet<RuntimeName>;
  readonly botsMax: number;
  readonly timeouts: EngineTimeouts;
}

const BOTS_MAX = 500;

/** Checks the options and fills in the defaults. Throws a sentence for the person who configures the host. */
export function dockerSettings(options: DockerDriverOptions): DockerSettings {
  const poolText = options.addressPool ?? '10.201.0.0/16';
  const pool = parseSubnet(poolText);
  if (pool === null || slots(pool) < 1) {
    throw new Error(
      `address pool "${poolText}" must be an IPv4 network of /29 or larger, like 10.201.0.0/16`,
    );
  }
  const images = new Map<RuntimeRef, ImageReference>();
  for (const [ref, text] of Object.entries(options.images)) images.set(ref, imageReference(text));
  return {
    fleet: Name.parse(options.fleet),
    host: Name.parse(options.host),
    socketPath: options.socketPath,
    images,
    pull: options.pull ?? false,
    pool,
    startsParallel: startsParallelOf(options),
    egress: new Set(options.egress ?? []),
    botsMax: Math.min(options.botsMax ?? BOTS_MAX, slots(pool)),
    timeouts: { ...defaultTimeouts, ...options.timeouts },
  };
}

function startsParallelOf({
  startsParallelMin,
  startsParallelMax = 8,
}: DockerDriverOptions): StartLimitBounds {
  return { min: Math.min(startsParallelMin ?? 2, startsParallelMax), max: startsParallelMax };
}

/** The most that may wait for a turn at the engine. */
export const WAITING_MAX = 10_000;
