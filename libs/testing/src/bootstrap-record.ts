import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { repositoryRoot } from './repository-root.js';

/** What `tools/bootstrap.mjs` found or installed on this machine. Later fields are left alone. */
const BootstrapRecord = z.object({
  schema: z.literal(1),
  natsServer: z.object({ path: z.string(), version: z.string() }).nullish(),
  docker: z.object({ socketPath: z.string(), version: z.string() }).nullish(),
  images: z.object({ paper: z.object({ ref: z.string(), id: z.string() }).nullish() }).nullish(),
  python: z.object({ path: z.string() }).nullish(),
});
export type BootstrapRecord = z.infer<typeof BootstrapRecord>;

/** Reads `.tradefleet/bootstrap.json`; null where the bootstrap has not run yet. */
export function readBootstrapRecord(): BootstrapRecord | null {
  const path = join(repositoryRoot(), '.tradefleet', 'bootstrap.json');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  return BootstrapRecord.parse(JSON.parse(text));
}
