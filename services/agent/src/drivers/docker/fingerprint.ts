import type { RuntimeRef } from '#libs/contracts';
import { DriverError, type DriverLog, type Fingerprint } from '../driver.js';
import type { Info } from './engine-answers.js';

const MIB = 1024 * 1024;
/** The first API with `CgroupnsMode`; also the oldest this driver works with. */
const API_MIN = [1, 41] as const;

/** Throws `engine-refused` when the engine is too old or its kernel cannot hold a bot to its limits. */
export function fingerprintOf(
  version: { readonly Version: string; readonly ApiVersion: string },
  info: Info,
  runtimes: readonly RuntimeRef[],
  bots: number,
  log: DriverLog,
): Fingerprint {
  const lacking = Object.entries({
    'API 1.41 or later': hasCgroupNamespaces(version.ApiVersion),
    'memory limits': info.MemoryLimit,
    'process limits': info.PidsLimit,
    'CPU limits': info.CpuCfsQuota,
  })
    .filter(([, present]) => !present)
    .map(([what]) => what);
  if (lacking.length > 0) {
    const text = `Docker Engine ${version.Version} cannot hold bots to the runtime contract, it lacks: ${lacking.join(', ')}`;
    throw new DriverError('engine-refused', text, false);
  }
  if (!info.SwapLimit) log.warn({}, 'the kernel cannot limit swap: turn swap off on this host');
  return {
    driver: 'docker',
    version: `Docker Engine ${version.Version} (API ${version.ApiVersion})`,
    runtimes,
    capacity: { cpuMillis: info.NCPU * 1000, memoryMiB: Math.floor(info.MemTotal / MIB), bots },
  };
}

/** Whether an engine of this API version knows `CgroupnsMode`. */
export function hasCgroupNamespaces(apiVersion: string): boolean {
  const [major = 0, minor = 0] = apiVersion.split('.').map(Number);
  return major > API_MIN[0] || (major === API_MIN[0] && minor >= API_MIN[1]);
}
