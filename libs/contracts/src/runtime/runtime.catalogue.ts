import { z } from 'zod';

/** How kinds of bots run. The agent's images for each are configured on the host (by digest or content tag). */
export const RuntimeName = z.enum(['paper', 'mt5']).meta({ id: 'RuntimeName' });
export type RuntimeName = z.infer<typeof RuntimeName>;

/**
 * Which image of a runtime, as its hosts name it: `2026.11`, `v7`, `broken`. What stands behind the name is the
 * configuration of each host, an allow-list: nothing else is ever run.
 */
export const RuntimeVersion = z
  .string()
  .regex(
    /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,38}[A-Za-z0-9])?$/,
    'must be 1 to 40 letters, digits or inner dots, hyphens, underscores',
  )
  .meta({ id: 'RuntimeVersion', examples: ['2026.11'] });
export type RuntimeVersion = z.infer<typeof RuntimeVersion>;

/** A runtime a host offers: `paper` is the host's default image, `paper@2026.11` that version. */
export const RuntimeRef = z
  .string()
  .regex(
    /^(?:paper|mt5)(?:@[A-Za-z0-9](?:[A-Za-z0-9._-]{0,38}[A-Za-z0-9])?)?$/,
    'must be <runtime> or <runtime>@<version>',
  )
  .meta({ id: 'RuntimeRef', examples: ['paper', 'paper@2026.11'] });
export type RuntimeRef = z.infer<typeof RuntimeRef>;

/** How a host has to name what a bot asks for. @param version null for the host's default image */
export const runtimeRef = (runtime: RuntimeName, version: RuntimeVersion | null): RuntimeRef =>
  version === null ? runtime : `${runtime}@${version}`;

/** Readiness stages in order; a runtime passes a subset of them. */
export const Stage = z
  .enum(['container', 'display', 'terminal', 'login', 'ipc', 'account-matches', 'trade-allowed'])
  .meta({ id: 'Stage' });
export type Stage = z.infer<typeof Stage>;

export interface Runtime {
  readonly name: RuntimeName;
  /** The stages a healthy bot passes, in order; the last one means ready. */
  readonly stages: readonly Stage[];
  /** `stored`: the account's credentials must have been set. `generated`: made up at the first grant (no broker). */
  readonly credentials: 'stored' | 'generated';
  /** What a bot of this kind gets when it asks for nothing. */
  readonly resources_default: {
    readonly cpuMillis: number;
    readonly memoryMiB: number;
    readonly pids: number;
  };
}

export const runtimes: Record<RuntimeName, Runtime> = {
  paper: {
    name: 'paper',
    stages: ['container', 'terminal', 'login', 'ipc', 'account-matches', 'trade-allowed'],
    credentials: 'generated',
    resources_default: { cpuMillis: 100, memoryMiB: 128, pids: 32 },
  },
  mt5: {
    name: 'mt5',
    stages: ['container', 'display', 'terminal', 'login', 'ipc', 'account-matches', 'trade-allowed'],
    credentials: 'stored',
    resources_default: { cpuMillis: 1000, memoryMiB: 1024, pids: 256 },
  },
};
