import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** Where the local fleet keeps everything: one folder, removed to start afresh. */
export class FleetPaths {
  /** `root` is the repository; `state` may be relative to it. */
  readonly state: string;

  constructor(
    readonly root: string,
    state: string,
  ) {
    this.state = resolve(root, state);
    for (const folder of [this.state, this.keys, this.logs, join(this.state, 'hosts')])
      mkdirSync(folder, { recursive: true, mode: 0o700 });
  }

  get keys(): string {
    return join(this.state, 'keys');
  }
  get logs(): string {
    return join(this.state, 'logs');
  }
  get postgres(): string {
    return join(this.state, 'postgres', 'data');
  }
  /** Records that the audit log no longer has to keep. */
  get archives(): string {
    return join(this.state, 'archives');
  }
  /** What the audit log is held against; beside the database, not in it. */
  get witness(): string {
    return join(this.state, 'witness');
  }
  get nats(): string {
    return join(this.state, 'nats');
  }
  /** What runs, for `npm stop` and `npm run status`. */
  get record(): string {
    return join(this.state, 'fleet.json');
  }
  get ports(): string {
    return join(this.state, 'ports.json');
  }
  /** Hash of the manifest that was applied last. */
  get applied(): string {
    return join(this.state, 'applied.json');
  }
  get adminToken(): string {
    return join(this.keys, 'admin-token');
  }

  key(name: string): string {
    return join(this.keys, name);
  }
  log(name: string): string {
    return join(this.logs, `${name}.log`);
  }
  host(name: string): string {
    const folder = join(this.state, 'hosts', name);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    return folder;
  }
  /** The service's entry point as built. */
  service(name: string): string {
    return join(this.root, 'dist', 'services', name, 'src', 'main.js');
  }
}
