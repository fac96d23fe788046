import { z } from 'zod';

/** How kinds of bots run. The agent's image for each is configured on the host (by digest or content tag). */
export const RuntimeName = z.enum(['paper', 'mt5']).meta({ id: 'RuntimeName' });
export type RuntimeName = z.infer<typeof RuntimeName>;

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
