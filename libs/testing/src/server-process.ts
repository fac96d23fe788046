import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

export interface ServerProcessOptions {
  readonly command: string;
  readonly args: readonly string[];
  /** Its stdout and stderr are appended here. */
  readonly logFile: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly uid?: number;
  readonly gid?: number;
  /** When this process is gone, however it went, the server is ended. */
  readonly ownerPid: number;
  /** The first signal then; SIGKILL follows after 10 s. */
  readonly ownerGoneSignal: 'SIGINT' | 'SIGQUIT' | 'SIGKILL';
  /** Removed then, too. */
  readonly ownerGoneRemoves?: string;
}

/**
 * Ends a server whose owner died. Exit handlers do not run when the owner is killed (nor inside Jest's sandbox), so a
 * little shell process waits for that. It goes when the server has gone.
 *
 * Where the owner is this process, the shell reads from a pipe that closes with it, and costs nothing meanwhile; `done`
 * says that the server has ended, whose pid may by then be another's. For another owner it looks once a second.
 */
const guardianScript = `
owner=$1; server=$2; signal=$3; folder=$4
if [ "$owner" = pipe ]; then
  read -r word
  [ "$word" = done ] && exit 0
else
  while kill -0 "$owner" 2>/dev/null; do
    kill -0 "$server" 2>/dev/null || exit 0
    sleep 1
  done
fi
kill -s "$signal" "$server" 2>/dev/null
for i in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$server" 2>/dev/null || break; sleep 1; done
kill -s KILL "$server" 2>/dev/null
[ -z "$folder" ] || rm -rf -- "$folder"
`;

/** A server program that this process started and will end by its pid. */
export class ServerProcess {
  private constructor(
    private readonly child: ChildProcess,
    readonly pid: number,
    /** Resolves with code or signal once the process has ended. */
    readonly exited: Promise<string>,
    private readonly logFile: string,
  ) {}

  private ended: string | null = null;

  static async start(options: ServerProcessOptions): Promise<ServerProcess> {
    const log = openSync(options.logFile, 'a', 0o600);
    // Its own process group: Ctrl-C in a terminal reaches the owner, which then stops things in its order.
    const child = spawn(options.command, [...options.args], {
      cwd: '/',
      detached: true,
      stdio: ['ignore', log, log],
      ...(options.env === undefined ? {} : { env: options.env }),
      ...(options.uid === undefined ? {} : { uid: options.uid }),
      ...(options.gid === undefined ? {} : { gid: options.gid }),
    });
    closeSync(log);
    const exited = new Promise<string>((resolve) => {
      child.once('exit', (code, signal) => resolve(signal ?? `code ${code ?? 'unknown'}`));
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    if (child.pid === undefined) throw new Error(`${options.command} started without a pid`);
    child.unref();
    const process = new ServerProcess(child, child.pid, exited, options.logFile);
    const dismiss = guard(child.pid, options);
    void exited.then((how) => {
      process.ended = how;
      dismiss();
    });
    return process;
  }

  /** How it ended, null while it runs. */
  get end(): string | null {
    return this.ended;
  }

  /** Sends a signal; one to an ended process does nothing. */
  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Asks it to end, and kills it when it has not after `graceMs`. */
  async stop(signal: NodeJS.Signals, graceMs: number): Promise<void> {
    this.child.kill(signal);
    const timer = new AbortController();
    const late = delay(graceMs, 'late' as const, { signal: timer.signal }).catch(() => 'ended' as const);
    if ((await Promise.race([this.exited, late])) === 'late') this.child.kill('SIGKILL');
    timer.abort();
    await this.exited;
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exited;
  }

  /** The end of its log, for messages of failures. */
  logTail(): string {
    return readFileSync(this.logFile, 'utf8').slice(-2000);
  }
}

/** Gives the way to tell the guardian that the server has ended. */
function guard(serverPid: number, options: ServerProcessOptions): () => void {
  const isOurs = options.ownerPid === process.pid;
  const args = [
    '-c',
    guardianScript,
    'tradefleet-guardian',
    isOurs ? 'pipe' : String(options.ownerPid),
    String(serverPid),
    options.ownerGoneSignal.replace('SIG', ''),
    options.ownerGoneRemoves ?? '',
  ];
  const guardian = spawn('/bin/sh', args, {
    cwd: '/',
    detached: true,
    stdio: [isOurs ? 'pipe' : 'ignore', 'ignore', 'ignore'],
  });
  // Without a guardian the server still stops with stop(); the owner's death alone is then not covered.
  guardian.once('error', (error) =>
    process.emitWarning(`No guardian for process ${serverPid}: ${error.message}`),
  );
  guardian.unref();
  const { stdin } = guardian;
  if (stdin === null) return () => undefined;
  // A guardian that is gone already needs not be told.
  stdin.on('error', () => undefined);
  if (stdin instanceof Socket) stdin.unref();
  return () => stdin.end('done\n');
}
