import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { waitFor } from '#libs/testing';
import Docker from 'dockerode';

const start_ms_max = 30_000;
const stop_ms_max = 60_000;

/**
 * A Docker Engine of the test's own, to be ended and started again: its own data, socket and network namespace, so that
 * it meets nothing of the machine's. Needs root and `dockerd`, as `tools/bootstrap` brings them.
 */
export class OwnDockerd {
  #process: ChildProcess | null = null;

  private constructor(
    private readonly folder: string,
    private readonly liveRestore: boolean,
  ) {}

  get socketPath(): string {
    return join(this.folder, 'docker.sock');
  }

  static async start(options: { readonly liveRestore: boolean }): Promise<OwnDockerd> {
    // Short: the path of a socket has 108 characters at most.
    const own = new OwnDockerd(await mkdtemp(join(tmpdir(), 'tf-dockerd-')), options.liveRestore);
    await own.up();
    return own;
  }

  async up(): Promise<void> {
    const log = await open(join(this.folder, 'log'), 'a');
    const { folder } = this;
    const args = [
      ...['--net', 'dockerd', '--data-root', join(folder, 'data'), '--exec-root', join(folder, 'exec')],
      ...['-H', `unix://${this.socketPath}`, '--pidfile', join(folder, 'pid'), '--shutdown-timeout', '10'],
      ...(this.liveRestore ? ['--live-restore'] : []),
    ];
    this.#process = spawn('unshare', args, { stdio: ['ignore', log.fd, log.fd] });
    const failed = new Promise<never>((_, reject) => {
      this.#process?.once('error', reject);
      this.#process?.once('exit', (code) => reject(new Error(`dockerd ended (${code}), see ${folder}/log`)));
    });
    // Only while it starts: later it is asked to end.
    failed.catch(() => undefined);
    const docker = new Docker({ socketPath: this.socketPath });
    const up = waitFor(async () => await docker.ping().then(Boolean), {
      timeoutMs: start_ms_max,
      what: 'dockerd',
    });
    await Promise.race([up, failed]);
    await log.close();
  }

  /** The image of the machine's engine, here. */
  async load(from: string, reference: string): Promise<void> {
    const image = await new Docker({ socketPath: from }).getImage(reference).get();
    const progress = await new Docker({ socketPath: this.socketPath }).loadImage(image);
    await new Promise<void>((resolve, reject) => {
      progress.on('end', resolve).on('error', reject).resume();
    });
  }

  async down(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const process_ = this.#process;
    if (process_ === null || process_.exitCode !== null || process_.signalCode !== null) return;
    let ended = false;
    process_.once('exit', () => (ended = true));
    process_.kill(signal);
    await waitFor(() => ended, { timeoutMs: stop_ms_max, what: 'the end of dockerd' });
  }

  /** Ends it and removes all it has left. Its containers have to be gone. */
  async close(): Promise<void> {
    await this.down('SIGTERM');
    // A dockerd that was killed has left its containerd, and mounts.
    await promisify(execFile)('sh', [
      '-c',
      'for f in "$1"/exec/containerd/*.pid; do [ -f "$f" ] && kill "$(cat "$f")"; done; ' +
        `awk -v d="$1/" 'index($2, d) == 1 { print $2 }' /proc/mounts | xargs -r umount -l; exit 0`,
      'sh',
      this.folder,
    ]);
    await rm(this.folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
  }
}
