import { GatewayClient } from '#libs/client';
import type { Allocation, Bot, FleetEvent, Operation } from '#libs/contracts';
import {
  readBootstrapRecord,
  repositoryRoot,
  ServerProcess,
  testDocker,
  waitFor,
  withClient,
} from '#libs/testing';
import { readFileSync } from 'node:fs';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isRunning, processesNaming } from './process.table.js';
import { remainsOf, removeRemainsOf } from './remains.js';
import { StockClient } from './stock.client.js';

export interface FleetOptions {
  readonly driver: 'docker' | 'process' | 'simulated';
  readonly hosts?: number;
  /** `scheduler`, `scheduler-2`, … Default 1. */
  readonly schedulers?: number;
  /** What agents offer besides the default, by runtime and version. */
  readonly offer?: Readonly<Record<string, string>>;
  /** What the fleet runs from the start. */
  readonly manifest: unknown;
}

/** The part of `fleet.json` that scenarios need. */
interface FleetRecord {
  readonly main: { readonly pid: number };
  readonly fleet: string;
  readonly gatewayUrl: string;
  readonly natsUrl: string;
  readonly ready: boolean;
}

/** Longest start: the machine may be busy with other things. */
const ready_ms_max = 180_000;
const stop_ms_max = 120_000;
/** The engine and the guardians of processes take a moment after the fleet itself has gone. */
const gone_ms_max = 60_000;

/**
 * A whole fleet of its own, started as a person would start it, with its state in a temporary folder. What it is made
 * of is reached from outside only: HTTP, NATS, SQL, the Docker socket, signals.
 */
export class FleetHarness {
  private clients: StockClient[] = [];
  private runs = 0;
  private server: ServerProcess | null = null;
  private lastRecord: FleetRecord | null = null;

  private constructor(
    private readonly options: FleetOptions,
    readonly state: string,
  ) {}

  /** A fleet that is not started yet. */
  static async make(options: FleetOptions): Promise<FleetHarness> {
    if (options.driver === 'docker') testDocker();
    if (options.driver === 'process' && readBootstrapRecord()?.python == null)
      throw new Error('There is no Python for the bots. Run `node tools/bootstrap.mjs --for test`.');
    const state = await mkdtemp(join(tmpdir(), 'tradefleet-e2e-'));
    await writeFile(join(state, 'manifest.json'), JSON.stringify(options.manifest));
    return new FleetHarness(options, state);
  }

  /** A fleet whose bots run. */
  static async start(options: FleetOptions): Promise<FleetHarness> {
    const fleet = await FleetHarness.make(options);
    try {
      await fleet.launch();
      await fleet.untilReady();
      return fleet;
    } catch (error) {
      await fleet.stop();
      throw error;
    }
  }

  /** Starts it in the foreground and returns at once. */
  async launch(): Promise<void> {
    this.server = await ServerProcess.start({
      command: process.execPath,
      args: this.commandLine('start', ...this.startWords()),
      logFile: join(this.state, `console-${(this.runs += 1)}.log`),
      env: this.environment(),
      ownerPid: process.pid,
      ownerGoneSignal: 'SIGINT',
    });
  }

  /** Waits until its bots run; fails with what it printed when it ends instead. */
  async untilReady(): Promise<void> {
    await waitFor(
      () => {
        if (this.server?.end != null) return true;
        return this.readRecord()?.ready;
      },
      { timeoutMs: ready_ms_max, what: `the fleet in ${this.state}` },
    );
    if (this.server?.end != null) throw new Error(`The fleet ended: ${this.console()}`);
  }

  /** Everything the running fleet has printed. */
  console(): string {
    return readFileSync(join(this.state, `console-${this.runs}.log`), 'utf8');
  }

  /** `main.js <verb> --state …`, to be run by node. */
  commandLine(verb: 'start' | 'stop' | 'status', ...words: string[]): string[] {
    const main = join(repositoryRoot(), 'dist', 'deploy', 'local', 'src', 'main.js');
    return [main, verb, '--state', this.state, ...words];
  }

  startWords(): string[] {
    const { driver, hosts = 2, schedulers = 1, offer = {} } = this.options;
    return [
      ...['--driver', driver, '--hosts', String(hosts), '--schedulers', String(schedulers)],
      ...Object.entries(offer).flatMap(([ref, what]) => ['--offer', `${ref}=${what}`]),
      ...['--manifest', join(this.state, 'manifest.json')],
    ];
  }

  environment(): NodeJS.ProcessEnv {
    return { PATH: process.env['PATH'], HOME: process.env['HOME'] };
  }

  /** Sends the signal to the fleet's main process, as Ctrl-C does, and waits for its end. Gives `code 0` or such. */
  async end(signal: 'SIGINT' | 'SIGTERM' = 'SIGINT'): Promise<string> {
    const { server } = this;
    if (server === null) return 'not started';
    for (const client of this.clients.splice(0)) await client.close();
    server.signal(signal);
    await waitFor(() => server.end, { timeoutMs: stop_ms_max, what: 'the fleet to end' });
    this.server = null;
    return await server.exited;
  }

  /** Ends it, checks that nothing is left of it and removes its files. */
  async stop(): Promise<void> {
    try {
      const how = await this.end();
      if (how !== 'code 0' && how !== 'not started') throw new Error(`Ended with ${how}: ${this.console()}`);
      await this.untilNothingIsLeft();
    } finally {
      await removeRemainsOf(this.state, this.lastRecord?.fleet ?? null, this.options.driver === 'docker');
    }
  }

  /** What is there of the fleet: see `remainsOf`. */
  async leftovers(): Promise<string[]> {
    const left = await remainsOf(this.state, this.record().fleet, this.options.driver === 'docker');
    return this.readRecord() === null ? left : [...left, 'fleet.json'];
  }

  async untilNothingIsLeft(): Promise<void> {
    if (this.lastRecord === null) return; // it never came as far as to start anything
    let left: string[] = [];
    await waitFor(async () => (left = await this.leftovers()).length === 0, {
      timeoutMs: gone_ms_max,
      what: 'nothing to be left',
    }).catch((error: unknown) => {
      throw new Error(`The fleet has ended and this is left:\n${left.join('\n')}`, { cause: error });
    });
  }

  get gateway(): GatewayClient {
    return new GatewayClient({ url: this.record().gatewayUrl, token: this.secret('admin-token') });
  }

  get gatewayUrl(): string {
    return this.record().gatewayUrl;
  }

  get token(): string {
    return this.secret('admin-token');
  }

  /** Name of the installation, in the labels of its containers. */
  get name(): string {
    return this.record().fleet;
  }

  /** A stock NATS client as one of the fleet's users; closed with the fleet. */
  async nats(user = 'client'): Promise<StockClient> {
    const client = await StockClient.connect(
      this.record().natsUrl,
      user,
      this.secret(`nats-${user}-password`),
    );
    this.clients.push(client);
    return client;
  }

  /** Rows of a query on the fleet's database. */
  async sql<T extends Record<string, unknown>>(text: string, values: unknown[] = []): Promise<T[]> {
    return await withClient(
      this.secret('database-url'),
      async (client) => (await client.query<T>(text, values)).rows,
    );
  }

  /** A key, password or URL of the fleet. */
  secret(name: string): string {
    return readFileSync(this.keyPath(name), 'utf8').trim();
  }

  keyPath(name: string): string {
    return join(this.state, 'keys', name);
  }

  /** Run directory of an allocation, as its host sees it. */
  runDirectory(allocation: Pick<Allocation, 'host' | 'id'>): string {
    return join('/dev/shm', this.name, allocation.host, allocation.id);
  }

  /** The process of a service (`scheduler`, `scheduler-2`, `audit`, …) or of a host's agent (`agent-host-a`); null: it does not run. */
  pidOf(service: string): number | null {
    const own = `TRADEFLEET_NATS_PASSWORD_FILE=${this.keyPath(`nats-${service}-password`)}`;
    return processesNaming(own).find(({ environment }) => environment.includes(own))?.pid ?? null;
  }

  /** SIGKILL, and nothing else; returns when the process has gone. */
  async kill(service: string): Promise<number> {
    const pid = this.pidOf(service);
    if (pid === null) throw new Error(`${service} does not run`);
    process.kill(pid, 'SIGKILL');
    await waitFor(() => !isRunning(pid), { what: `${service} to be dead` });
    return pid;
  }

  async bot(name: string): Promise<Bot> {
    return this.gateway.call('bots.get', { name });
  }

  /** Waits until the bot runs, under an epoch above the given one, and gives its allocation. */
  async untilRuns(bot: string, aboveEpoch = 0): Promise<Allocation> {
    return await waitFor(
      async () => {
        const { allocation } = (await this.bot(bot)).status;
        return allocation?.state === 'running' && allocation.epoch > aboveEpoch ? allocation : null;
      },
      { timeoutMs: 60_000, what: `${bot} to run under an epoch above ${aboveEpoch}` },
    );
  }

  /** Waits for the operation's end and gives it. */
  async untilEnded(operation: string): Promise<Operation> {
    return await waitFor(
      async () => {
        const answer = await this.gateway.call(
          'operations.wait',
          { id: operation, timeoutMs: 10_000 },
          { timeout_ms: 20_000 },
        );
        return answer.state === 'running' ? null : answer;
      },
      { timeoutMs: 120_000, what: `operation ${operation} to end` },
    );
  }

  /** What the audit log has of events whose data holds these values, oldest first. */
  async audited(data: Record<string, unknown>, query: { type?: string } = {}): Promise<FleetEvent[]> {
    const found: FleetEvent[] = [];
    let after: string | null = null;
    do {
      const page: { events: FleetEvent[]; next: string | null } = await this.gateway.call('events.query', {
        ...query,
        order: 'asc',
        limit: 500,
        ...(after === null ? {} : { after }),
      });
      found.push(
        ...page.events.filter((event) =>
          Object.entries(data).every(([field, value]) => event.data[field] === value),
        ),
      );
      after = page.next;
    } while (after !== null);
    return found;
  }

  /** Waits until the audit log has events of these types about it, in this order among others; gives all of them. */
  async untilAudited(data: Record<string, unknown>, types: readonly string[]): Promise<FleetEvent[]> {
    let seen: string[] = [];
    return await waitFor(
      async () => {
        const events = await this.audited(data);
        seen = events.map(({ type }) => type.replace('tradefleet.', ''));
        return isInOrder(types, seen) ? events : null;
      },
      { timeoutMs: 60_000, what: `events ${types.join(', ')} in the audit log` },
    ).catch((error: unknown) => {
      throw new Error(`The audit log has ${seen.join(', ')}`, { cause: error });
    });
  }

  /** Of the running fleet, or of the last run. */
  private record(): FleetRecord {
    const record = this.readRecord() ?? this.lastRecord;
    if (record === null) throw new Error(`No fleet has run in ${this.state}`);
    return record;
  }

  /** Null while it has not begun, and after it has ended. */
  readRecord(): FleetRecord | null {
    try {
      const record = JSON.parse(readFileSync(join(this.state, 'fleet.json'), 'utf8')) as FleetRecord;
      this.lastRecord = record;
      return record;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
  }
}

/** Whether `wanted` is a subsequence of `seen`. */
function isInOrder(wanted: readonly string[], seen: readonly string[]): boolean {
  let next = 0;
  for (const type of seen) if (type === wanted[next]) next += 1;
  return next === wanted.length;
}
