import type { Quotas, Tenant } from '#libs/contracts';

/** An amount of everything that quotas bound. */
export type Use = Tenant['used'];

/** A quota that does not allow what is asked. */
export interface QuotaFault {
  /** Which of the quotas. */
  readonly path: keyof Quotas;
  /** What is used, asked and allowed, for people. */
  readonly message: string;
}

export const no_use: Use = { bots: 0, cpuMillis: 0, memoryMiB: 0 };

/** What one bot counts for while it should run. */
export const useOf = ({ cpuMillis, memoryMiB }: { cpuMillis: number; memoryMiB: number }): Use => ({
  bots: 1,
  cpuMillis,
  memoryMiB,
});

export const plus = (a: Use, b: Use, sign: 1 | -1 = 1): Use => ({
  bots: a.bots + sign * b.bots,
  cpuMillis: a.cpuMillis + sign * b.cpuMillis,
  memoryMiB: a.memoryMiB + sign * b.memoryMiB,
});

const units = { bots: 'bots', cpuMillis: 'millicores', memoryMiB: 'MiB' } as const;

/**
 * Which quotas refuse that `asked` is added to what is `used`. Only what grows is looked at: a tenant above a quota
 * that was lowered may still change and shrink what it has.
 */
export function quotaFaults(quotas: Quotas, used: Use, asked: Use): QuotaFault[] {
  return (['bots', 'cpuMillis', 'memoryMiB'] as const).flatMap((path) => {
    const allowed = quotas[path];
    if (allowed === null || asked[path] <= 0 || used[path] + asked[path] <= allowed) return [];
    const message = `${used[path]} ${units[path]} used, ${asked[path]} more asked for, ${allowed} allowed`;
    return [{ path, message }];
  });
}
