import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { FleetPaths } from '../../../deploy/local/src/fleet.paths.js';

/** Where a run keeps its things. What stays of it are logs, orders and the result. */
export class RunPaths {
  readonly fleet: FleetPaths;
  readonly state: string;

  /** `state` is absolute. Removes what the run before has left there. */
  constructor(root: string, state: string) {
    this.state = state;
    mkdirSync(state, { recursive: true, mode: 0o700 });
    rmSync(join(state, 'run'), { recursive: true, force: true });
    this.fleet = new FleetPaths(root, join(state, 'run'));
  }

  /** What there is outside of folders, see `leftovers.ts`. */
  static record(state: string): string {
    return join(state, 'record.json');
  }
  get orders(): string {
    return join(this.fleet.state, 'orders.jsonl');
  }
  get result(): string {
    return join(this.fleet.state, 'result.json');
  }
  get images(): string {
    return join(this.fleet.state, 'images.tar');
  }
  engine(host: string): string {
    return join(this.fleet.state, 'engines', host);
  }

  /** Removes all that is large or secret. */
  clear(): void {
    for (const name of ['engines', 'postgres', 'nats', 'keys', 'hosts', 'images.tar', 'nats.conf'])
      rmSync(join(this.fleet.state, name), { recursive: true, force: true, maxRetries: 3 });
  }
}
