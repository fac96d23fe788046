import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import pg from 'pg';
import type { ApiName, ApiRequest, ApiResponse } from '#libs/contracts';
import { SigningKey } from '#libs/messaging';
import { createLogger, type Logger } from '#libs/telemetry';
import { gateDatabase } from './database-gate.js';
import { Oracle, overlapText } from './oracle.js';
import { rulesInForce, type Rules } from './rules.js';
import { SimulatedHost } from './simulated-host.js';
import { SimulatedMessaging, type Wires } from './simulated-messaging.js';
import { Link, randomOf, SimulatedBroker, type Random } from './simulated-network.js';
import { Machine, SimulatedProcess } from './simulated-process.js';
import { SimulatedScheduler } from './simulated-scheduler.js';
import { SimulatedStreams } from './simulated-streams.js';
import { TrueTime } from './true-time.js';

export interface WorldOptions {
  /** Of clocks, delays and losses. */
  readonly seed: number;
  /** A new, migrated database. */
  readonly databaseUrl: string;
  readonly rules?: Partial<Rules>;
  readonly hosts?: number;
  readonly bots?: number;
}

const begin_ms_max = 60_000;
const look_ms = 1000;
const heal_ms_max = 180_000;

/** A fleet: two schedulers, hosts with agents, their network, one database, and what a broker sees of it. */
export class World {
  readonly time = new TrueTime();
  readonly oracle: Oracle;
  readonly schedulers: SimulatedScheduler[] = [];
  readonly hosts: SimulatedHost[] = [];
  readonly links: Link[] = [];
  readonly machines: Machine[] = [];
  /** What was done, for whoever reads a failure. */
  readonly story: string[] = [];
  readonly bots: { name: string; account: string }[] = [];
  private readonly wires: Wires;
  private readonly random: Random;
  private readonly logger: Logger;
  private readonly database: pg.Client;
  private readonly closing: (() => Promise<void> | void)[] = [];

  private constructor(
    private readonly options: WorldOptions,
    private readonly rules: Rules,
    private readonly folder: string,
    private readonly client: { machine: Machine | null },
  ) {
    this.random = randomOf(options.seed);
    this.oracle = new Oracle();
    this.wires = { broker: new SimulatedBroker(), streams: new SimulatedStreams(this.time) };
    this.logger = createLogger({
      service: 'proof',
      level: process.env['TEST_LOG'] === undefined ? 'silent' : 'debug',
    });
    this.database = new pg.Client({ connectionString: options.databaseUrl });
  }

  /** Resolves when one scheduler leads, all hosts are known and all bots run. */
  static async begin(options: WorldOptions): Promise<World> {
    const rules = { ...rulesInForce, ...options.rules };
    const folder = await mkdtemp(join(tmpdir(), 'tradefleet-proof-'));
    const world = new World(options, rules, folder, { machine: null });
    try {
      await world.setUp(await SigningKey.generate());
      return world;
    } catch (error) {
      await world.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    for (const scheduler of this.schedulers) scheduler.kill();
    for (const host of this.hosts) host.kill();
    for (const close of this.closing.splice(0).reverse()) await close();
    await rm(this.folder, { recursive: true, force: true });
  }

  get policies(): Rules['policies'] {
    return this.rules.policies;
  }

  /** Machines of the fleet; the one of the client is not among them. */
  get breakable(): Machine[] {
    return this.machines.filter((machine) => machine !== this.client.machine);
  }

  async advance(ms: number): Promise<void> {
    await this.time.advance(ms);
  }

  tell(what: string): void {
    this.story.push(`${(this.time.now_ms / 1000).toFixed(3)} s  ${what}`);
  }

  /**
   * Throws when two instances of an account could act at one time. An order is on its way for a while after its sender
   * has ended; where the end was *reported*, the start of the next instance takes longer than that (an assumption, see
   * docs/models), and where it was not, the margins must.
   */
  async requireOneWriter(): Promise<void> {
    const { orderMs } = this.rules;
    if (this.oracle.overlaps(() => orderMs).length === 0) return;
    const unreported = await this.givenAwayUnreported();
    const [first] = this.oracle.overlaps(({ allocation }) => (unreported.has(allocation) ? orderMs : 0));
    if (first !== undefined) throw new Error(`${overlapText(first)}\n${this.story.join('\n')}`);
  }

  private async givenAwayUnreported(): Promise<ReadonlySet<string>> {
    const { rows } = await this.time.outsideOf(
      this.database.query<{ id: string }>(
        `SELECT id FROM scheduler.allocations WHERE state = 'lost' OR reason = 'unknown-to-host'`,
      ),
    );
    return new Set(rows.map(({ id }) => id));
  }

  /** Sends a request of an admin; what becomes of it is not waited for. */
  ask<N extends ApiName>(name: N, request: ApiRequest<N>): void {
    this.tell(`${name} ${JSON.stringify(request)}`);
    this.call(name, request).then(
      () => undefined,
      // Refused, or nobody was there to answer: what should run stands in the database.
      () => undefined,
    );
  }

  /** Repairs all that is broken, and waits until what should run runs. Throws when it does not come to that. */
  async healAndConverge(): Promise<void> {
    this.tell('everything is repaired');
    await this.repair();
    let wrong = '';
    for (let waited_ms = 0; waited_ms < heal_ms_max; waited_ms += look_ms) {
      await this.advance(look_ms);
      await this.endDrains();
      await this.requireOneWriter();
      wrong = await this.difference();
      if (wrong === '') return;
    }
    throw new Error(`After ${heal_ms_max} ms: ${wrong}\n${this.story.join('\n')}`);
  }

  private async repair(): Promise<void> {
    for (const link of this.links) Object.assign(link, { cut: false, quality: this.rules.link });
    for (const machine of this.machines) {
      machine.resume();
      machine.mendDatabase();
    }
    for (const part of [...this.schedulers, ...this.hosts]) {
      part.process?.continue();
      await part.start();
    }
  }

  /** Nobody may lead when it is asked for the first time. */
  private async endDrains(): Promise<void> {
    const { rows } = await this.time.outsideOf(
      this.database.query<{ name: string }>(`SELECT name FROM scheduler.hosts WHERE state = 'draining'`),
    );
    for (const { name } of rows) this.ask('hosts.ready', { name });
  }

  /** How what runs differs from what should; '' when it does not. */
  private async difference(): Promise<string> {
    const { rows } = await this.time.outsideOf(
      this.database.query<{ account: string; wanted: boolean; live: number }>(
        `SELECT b.account, b.desired = 'running' AND a.locked_at IS NULL AS wanted,
           (SELECT count(*) FROM scheduler.allocations l WHERE l.account = b.account AND l.state = 'running')::int AS live
         FROM scheduler.bots b JOIN scheduler.accounts a ON a.name = b.account`,
      ),
    );
    const acting = this.hosts.flatMap((host) => host.acting());
    return rows
      .flatMap(({ account, wanted, live }) => {
        const there = acting.filter((other) => other === account).length;
        const right = wanted ? there === 1 && live === 1 : there === 0 && live === 0;
        return right
          ? []
          : [`${account} should ${wanted ? '' : 'not '}run: ${there} act, ${live} are said to run`];
      })
      .join('; ');
  }

  private async setUp(signingKey: SigningKey): Promise<void> {
    this.closing.push(gateDatabase());
    await this.database.connect();
    this.closing.push(async () => await this.database.end());
    const { hosts = 2, bots = 2 } = this.options;
    for (const name of ['scheduler-a', 'scheduler-b']) await this.addScheduler(name, signingKey);
    for (let i = 1; i <= hosts; i += 1) await this.addHost(`host-${i}`, signingKey);
    this.client.machine = this.machine('client', 1);
    await this.until(() => this.schedulers.some((scheduler) => scheduler.leads), 'a scheduler to lead');
    await this.addBots(bots);
    await this.until(() => this.hosts.flatMap((host) => host.acting()).length === bots, 'the bots to run');
  }

  private machine(name: string, rate = this.rateOf()): Machine {
    const machine = new Machine(this.time, name, rate, 1_000_000 + Math.floor(this.random() * 1_000_000));
    this.machines.push(machine);
    return machine;
  }

  /** The extremes are likely: there the rules have least to spare. */
  private rateOf(): number {
    const { drift } = this.rules;
    const draw = this.random();
    if (draw < 0.4) return 1 - drift;
    if (draw < 0.8) return 1 + drift;
    return 1 + (this.random() * 2 - 1) * drift;
  }

  private link(name: string): Link {
    const link = new Link(name, this.time, this.random);
    link.quality = this.rules.link;
    this.links.push(link);
    return link;
  }

  private async addScheduler(name: string, signingKey: SigningKey): Promise<void> {
    const { wires, logger, rules } = this;
    const { databaseUrl } = this.options;
    const scheduler = new SimulatedScheduler({
      ...{ wires, logger, databaseUrl, signingKey, machine: this.machine(name), link: this.link(name) },
      settings: rules.scheduler,
      ...(rules.leadership === undefined ? {} : { spoil: rules.leadership }),
    });
    this.schedulers.push(scheduler);
    await scheduler.start();
  }

  private async addHost(name: string, { publicJwk }: SigningKey): Promise<void> {
    const { wires, logger, oracle, folder, rules } = this;
    const host = new SimulatedHost({
      ...{ wires, logger, oracle, folder, machine: this.machine(name), link: this.link(name) },
      scheduler: publicJwk,
      leaseMarginMs: rules.leaseMarginMs,
      heartbeatTimeoutMs: rules.heartbeatTimeoutMs,
      killMs: rules.killMs,
      supervised: rules.supervised,
      ...(rules.leaseKeeper === undefined ? {} : { leaseKeeper: rules.leaseKeeper }),
    });
    this.hosts.push(host);
    await host.start();
  }

  private async addBots(count: number): Promise<void> {
    await this.insist('tenants.create', { name: 'tenant' });
    for (let i = 1; i <= count; i += 1) {
      const account = `account-${i}`;
      await this.insist('accounts.create', {
        name: account,
        tenant: 'tenant',
        server: 'Paper',
        login: 1000 + i,
      });
      const name = `bot-${i}`;
      await this.insist('bots.create', { name, account, runtime: 'paper', policies: this.rules.policies });
      this.bots.push({ name, account });
    }
  }

  /** Asks until it is done. */
  private async insist<N extends ApiName>(name: N, request: ApiRequest<N>): Promise<void> {
    let state: 'open' | 'done' = 'open';
    let fault: unknown = null;
    await this.until(() => {
      if (fault !== null || state === 'done') return state === 'done';
      fault = 'asked';
      this.call(name, request).then(
        () => (state = 'done'),
        (error: unknown) => (fault = String(error).includes('exists') ? ((state = 'done'), null) : null),
      );
      return false;
    }, `${name} to be done`);
  }

  private async call<N extends ApiName>(name: N, request: ApiRequest<N>): Promise<ApiResponse<N>> {
    const { machine } = this.client;
    if (machine === null) throw new Error('The world has not begun.');
    const process = new SimulatedProcess(machine, 'client');
    const messaging = new SimulatedMessaging(this.wires, process, this.clientLink(), this.logger);
    return await process.as(async () => await messaging.call(name, request));
  }

  private clientLink(): Link {
    return new Link('client', this.time, this.random);
  }

  private async until(done: () => boolean, what: string): Promise<void> {
    for (let waited_ms = 0; waited_ms < begin_ms_max; waited_ms += 100) {
      if (done()) return;
      await this.advance(100);
    }
    throw new Error(`${begin_ms_max} ms were not enough for ${what}.`);
  }
}
