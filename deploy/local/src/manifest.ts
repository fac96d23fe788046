import type { GatewayClient } from '#libs/client';
import { Manifest, ProblemError } from '#libs/contracts';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parse } from 'yaml';
import type { FleetPaths } from './fleet.paths.js';
import { writeFileAtomically } from './files.js';

const bytes_max = 1024 * 1024;

/**
 * Applies the manifest at the first start and when it has changed since; what people did in between stays.
 * Returns what was done, for people.
 */
export async function applyManifest(
  path: string,
  paths: FleetPaths,
  gateway: GatewayClient,
): Promise<string> {
  const text = readFileSync(resolve(paths.root, path), 'utf8');
  if (text.length > bytes_max) throw new Error(`${path} is larger than 1 MiB.`);
  const hash = createHash('sha256').update(text).digest('hex');
  if (lastApplied(paths) === hash) return 'unchanged since it was applied';
  const parsed = Manifest.safeParse(parse(text));
  if (!parsed.success) throw ProblemError.fromZod(parsed.error, path);
  const plan = await gateway.call('fleet.plan', { manifest: parsed.data });
  if (plan.changes.length > 0)
    await gateway.call('fleet.apply', { manifest: parsed.data, version: plan.version });
  writeFileAtomically(paths.applied, `${JSON.stringify({ hash })}\n`);
  return `${plan.changes.length} changes`;
}

function lastApplied(paths: FleetPaths): string | null {
  try {
    return (JSON.parse(readFileSync(paths.applied, 'utf8')) as { hash: string }).hash;
  } catch {
    // Not applied yet, or a file that cannot be used: applying twice does no harm.
    return null;
  }
}
