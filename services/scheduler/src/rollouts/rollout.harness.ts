import {
  api,
  type ApiRequest,
  type Bot,
  type Host,
  type ObservedAllocation,
  type Rollout,
  type RolloutPlanned,
} from '#libs/contracts';
import { uniqueName, type TestNats, type VirtualClock } from '#libs/testing';
import { SignedHost } from '../heartbeats/signed-host.harness.js';
import { RuntimeHarness, seen, type AllocationRow } from '../runtime.harness.js';
import { RolloutsModule } from './rollouts.module.js';
import { RolloutsService } from './rollouts.service.js';

type Row = AllocationRow & { attempt: number; version: string | null };
/** What a host says of a bot that is to run. */
export type Fate = (row: Row) => Partial<ObservedAllocation>;

export const asker = { actor: 'user:ops', traceparent: `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01` };

/** Bots of the version `broken` exit with 1; all others run. */
export const brokenExits: Fate = ({ version }) =>
  version === 'broken' ? { state: 'failed', reason: 'exited', detail: 'It ended with 1.', exitCode: 1 } : {};

/**
 * A scheduler with hosts that do what they are told, and as fate has it: real requests, real reconcilers, real
 * heartbeats, on a real database; time goes on when a test turns it.
 */
export class RolloutFleet {
  fate: Fate = brokenExits;
  private readonly hosts: SignedHost[] = [];

  constructor(
    public runtime: RuntimeHarness,
    private readonly clock: VirtualClock,
  ) {}

  static async scheduler(options: {
    databaseUrl: string;
    nats: TestNats;
    clock: VirtualClock;
    lead?: boolean;
  }): Promise<RuntimeHarness> {
    return RuntimeHarness.start({ ...options, imports: [RolloutsModule] });
  }

  async host(runtimes: Host['runtimes'] = ['paper', 'paper@v2', 'paper@broken']): Promise<SignedHost> {
    const host = await SignedHost.create({ host: uniqueName('host'), runtimes });
    this.hosts.push(host);
    await this.runtime.register(host);
    return host;
  }

  /** The hosts, to a scheduler that has not heard of them. */
  async rejoin(): Promise<void> {
    for (const host of this.hosts) {
      host.restart();
      await this.runtime.register(host);
    }
  }

  /** Bots that run; gives their names in order. */
  async bots(count: number, over: Partial<Bot> = {}): Promise<{ tenant: string; names: string[] }> {
    const bots = await this.runtime.bots(count, over);
    for (let turns = 0; (await this.running()) < count; turns += 1) {
      if (turns > 20) throw new Error('The bots do not run.');
      await this.turn();
    }
    return { tenant: bots[0]?.tenant ?? '', names: bots.map((bot) => bot.name).sort() };
  }

  /** A pass, then every host says how its bots are, then time goes by. */
  async turn(ms = 1000): Promise<void> {
    await this.runtime.pass();
    for (const host of this.hosts) {
      const rows = await this.runtime.query<Row>(
        `SELECT a.*, b.version FROM scheduler.allocations a LEFT JOIN scheduler.bots b ON b.name = a.bot
         WHERE a.host = $1 AND a.state IN ('placed', 'accepted', 'preparing', 'starting', 'running', 'stopping')`,
        [host.name],
      );
      await this.runtime.heartbeat(
        host,
        rows.map((row) =>
          seen(row, row.stop_reason === null ? this.fate(row) : { state: 'stopped', exitCode: 0 }),
        ),
      );
    }
    await this.clock.advance(ms);
  }

  async plan(request: ApiRequest<'rollouts.plan'>): Promise<RolloutPlanned> {
    return await this.service.plan(api['rollouts.plan'].request.parse(request));
  }

  /** Plans and starts at once. */
  async start(request: ApiRequest<'rollouts.plan'>): Promise<Rollout> {
    const { version } = await this.plan(request);
    return await this.create({ ...request, version });
  }

  async create(request: ApiRequest<'rollouts.create'>): Promise<Rollout> {
    return await this.service.create(api['rollouts.create'].request.parse(request), asker);
  }

  async get(id: string): Promise<Rollout> {
    return api['rollouts.get'].response.parse(await this.service.get({ id }));
  }

  /** Turns until it is so. */
  async until(id: string, is: (rollout: Rollout) => boolean, turns_max = 200): Promise<Rollout> {
    for (let turn = 0; turn < turns_max; turn += 1) {
      const rollout = await this.get(id);
      if (is(rollout)) return rollout;
      await this.turn();
    }
    throw new Error(`The rollout did not get there: ${JSON.stringify(await this.get(id))}`);
  }

  get service(): RolloutsService {
    return this.runtime.app.get(RolloutsService);
  }

  /** Name, generation, version and newest allocation of each bot. */
  async standing(): Promise<{ name: string; generation: number; version: string | null; id: string }[]> {
    return this.runtime.query(
      `SELECT b.name, b.generation, b.version,
         (SELECT a.id FROM scheduler.allocations a WHERE a.bot = b.name ORDER BY a.epoch DESC LIMIT 1) AS id
       FROM scheduler.bots b ORDER BY b.name`,
    );
  }

  private async running(): Promise<number> {
    const [row] = await this.runtime.query<{ count: number }>(
      `SELECT count(*)::int AS count FROM scheduler.allocations WHERE state = 'running'`,
    );
    return row?.count ?? 0;
  }
}
