import type { Clock } from '#libs/clock';
import { waitFor } from '#libs/testing';
import type { Progress } from '../../deploy/local/src/progress.js';
import { runRoot } from '../../deploy/local/src/service.environment.js';
import type { ChaosArguments } from './arguments.js';
import { FaultActions } from './faults/fault.actions.js';
import { Recovery } from './faults/recovery.js';
import { RoundRunner } from './faults/round.runner.js';
import { RuleBreaker } from './faults/rule.breaker.js';
import { EventLedger } from './ledger/event.ledger.js';
import type { Balance } from './ledger/event.balance.js';
import { ClientLoad } from './load/client.load.js';
import type { Network } from './network/network.js';
import { BrokerServer } from './oracle/broker.server.js';
import { applyBots, botName } from './parts/chaos.manifest.js';
import { ChaosFleet } from './parts/chaos.fleet.js';
import type { RunPaths } from './parts/run.paths.js';
import { FaultPlanner, type Round } from './planner/fault.planner.js';
import type { ChaosResult, FaultMade } from './report/result.js';
import { distributionOf } from './report/statistics.js';
import { leaseSettings } from './rules/lease.settings.js';
import { LeaseWatch } from './rules/lease.watch.js';
import { leaseVerdict, type LeaseVerdict } from './rules/lease.verdict.js';
import { installTransitionLog, readTakeovers, readTransitions } from './rules/transition.log.js';

const first_ms_max = 180_000;
const recover_ms_max = 120_000;
const stop_ms_max = 90_000;
const quiet_ms_max = 90_000;
/** How long agents are given to publish what they have, and how often. */
const publish_ms = 5000;
const publish_attempts_max = 12;

/** One run, from the first process to the verdict. */
export class Trial {
  private readonly made: FaultMade[] = [];
  private readonly notMade: { name: FaultMade['name']; why: string }[] = [];
  private readonly failures: string[] = [];
  private readonly startedMs: number;
  private readonly bots: readonly string[];
  private rounds = 0;
  private events: Balance | null = null;
  private verdict: LeaseVerdict | null = null;

  constructor(
    private readonly options: ChaosArguments,
    private readonly network: Network,
    private readonly paths: RunPaths,
    private readonly progress: Progress,
    private readonly clock: Clock,
  ) {
    this.startedMs = clock.monotonicMs();
    this.bots = Array.from({ length: options.bots }, (_, n) => botName(network.id, n));
  }

  /** Throws when it is interrupted, or does not even come up; else all that went wrong is in the result. */
  async run(stop: AbortSignal): Promise<ChaosResult> {
    const { schedulers, ttl: ttl_ms } = this.options;
    const { network, paths, clock, progress } = this;
    const ledger = new EventLedger(() => fleet.databaseUrl, paths.fleet);
    const onAgentEnd = (host: string): void => void ledger.readAgent(host);
    const fleet = await ChaosFleet.prepare({ network, schedulers, ttl_ms, paths, onAgentEnd }, clock);
    const watch = new LeaseWatch(runRoot(paths.fleet.state), clock);
    let broker: BrokerServer | null = null;
    try {
      await fleet.start(progress, stop, async () => await installTransitionLog(fleet.databaseUrl));
      broker = await this.startBroker();
      watch.start();
      const address = `${network.address('broker')}:${broker.port}`;
      const recovery = new Recovery(fleet.gateway, broker.oracle, clock);
      await progress.step(`${this.bots.length} bots that trade`, async () => {
        await applyBots(fleet.gateway, this.bots, address);
        await recovery.wait(clock.monotonicMs(), first_ms_max, stop);
      });
      const load = new ClientLoad(
        fleet.gateway,
        this.bots,
        network.hosts,
        botName(network.id, this.bots.length),
        address,
        clock,
      );
      const actions = new FaultActions(fleet, network);
      const runner = new RoundRunner(fleet, actions, load, recovery, this.bots, recover_ms_max, clock);
      const breaker = new RuleBreaker(fleet.gateway, network, fleet.databaseUrl, broker.oracle);
      await this.try(async () => {
        if (this.options.selfTest)
          await progress.step('give accounts away too early', async () => await breaker.run());
        else await this.makeFaults(runner, broker, stop);
      });
      stop.throwIfAborted();
      await this.judge(fleet, broker, ledger, watch);
      return this.result(fleet, broker, load);
    } finally {
      await watch.stop();
      await this.try(async () => await fleet.stop(progress));
      await broker?.stop();
    }
  }

  private async startBroker(): Promise<BrokerServer> {
    return await BrokerServer.start(
      {
        ...{ host: this.network.address('broker'), port: 0, ordersFile: this.paths.orders },
        onOverlap: (overlap) => this.progress.line(`OVERLAP ${JSON.stringify(overlap)}`),
      },
      this.clock,
    );
  }

  private async makeFaults(
    runner: RoundRunner,
    broker: BrokerServer | null,
    stop: AbortSignal,
  ): Promise<void> {
    const { minutes, faults = Infinity, seed, hosts, ttl: ttl_ms, pairs } = this.options;
    const planner = new FaultPlanner({ seed, hosts, bots: this.bots.length, ttl_ms, pairs });
    const until_ms = this.clock.monotonicMs() + minutes * 60_000;
    this.progress.line(`Faults from seed ${seed}:`);
    while (this.made.length < faults && this.clock.monotonicMs() < until_ms && !stop.aborted) {
      const round = planner.next();
      try {
        const { made, notMade } = await runner.run(round, stop);
        this.rounds += 1;
        this.made.push(...made);
        this.notMade.push(...notMade);
        this.tell(round, made, broker);
      } catch (error) {
        if (error instanceof Error && error.name === 'AbortError') return;
        throw new Error(`Round ${round.number} (${namesOf(round)}): ${messageOf(error)}`, { cause: error });
      }
    }
    if (!stop.aborted) this.requireFaults();
  }

  private requireFaults(): void {
    const { faults = 0, minutes } = this.options;
    if (this.made.length < faults)
      this.failures.push(`Only ${this.made.length} of ${faults} faults were made in ${minutes} minutes.`);
  }

  private tell(round: Round, made: readonly FaultMade[], broker: BrokerServer | null): void {
    const what = made.map(
      ({ name, target, lasted_ms }) => `${name} ${target} ${(lasted_ms / 1000).toFixed(1)} s`,
    );
    const asked = round.load.map(({ name }) => name);
    const recover_ms = made[0]?.recover_ms ?? 0;
    const { ordersTotal = 0, overlapsTotal = 0 } = broker?.oracle ?? {};
    this.progress.line(
      `${String(this.made.length).padStart(4)}  ${[...what, ...asked.map((name) => `(${name})`)].join(' + ')}` +
        ` · recovered in ${(recover_ms / 1000).toFixed(1)} s · ${ordersTotal} orders, ${overlapsTotal} overlaps`,
    );
  }

  /** Stops all bots, waits until nothing is on its way any more, and compares. */
  private async judge(
    fleet: ChaosFleet,
    broker: BrokerServer,
    ledger: EventLedger,
    watch: LeaseWatch,
  ): Promise<void> {
    const { progress, clock } = this;
    await this.try(async () => await progress.step('stop all bots', async () => await this.stopBots(fleet)));
    const orders = broker.oracle.ordersTotal;
    await this.try(async () =>
      progress.step('events on their way', async () => {
        const waiting = await this.endAgents(fleet, ledger);
        await waitFor(async () => (this.events = await ledger.balance(waiting)).faults.length === 0, {
          timeoutMs: quiet_ms_max,
          what: 'everything recorded to be audited',
        }).catch((error: unknown) => {
          if (this.events === null) throw error; // else its faults are told one by one
        });
      }),
    );
    if (broker.oracle.ordersTotal !== orders)
      this.failures.push('Orders arrived after all bots had stopped.');
    await this.try(async () => {
      const wallToBoot_ms = clock.boottimeMs() - clock.wallMs();
      const rules = { ...leaseSettings, ttl_ms: this.options.ttl };
      const transitions = await readTransitions(fleet.databaseUrl);
      const takeovers = await readTakeovers(fleet.databaseUrl);
      this.verdict = leaseVerdict(rules, transitions, watch.deadlines, takeovers, wallToBoot_ms);
    });
  }

  /** Agents end when all they have recorded is published: only then can be read what it was. @returns what waits */
  private async endAgents(fleet: ChaosFleet, ledger: EventLedger): Promise<number> {
    for (let attempt = 1; ; attempt += 1) {
      for (const { agent } of fleet.hosts) await agent.kill();
      const waiting = fleet.hosts.reduce((sum, { name }) => sum + ledger.readAgent(name), 0);
      if (waiting === 0 || attempt === publish_attempts_max) return waiting;
      for (const { agent } of fleet.hosts) agent.release();
      await this.clock.sleep(publish_ms);
    }
  }

  private async stopBots(fleet: ChaosFleet): Promise<void> {
    await waitFor(
      async () => {
        const { bots } = await fleet.gateway.call('bots.list', { limit: 500 });
        for (const { name } of bots.filter(({ desired }) => desired === 'running'))
          await fleet.gateway.call('bots.stop', { name, reason: 'chaos ends' });
        return bots.every(({ desired, status: { phase } }) => desired !== 'running' && !isLive(phase));
      },
      { timeoutMs: stop_ms_max, what: 'all bots to stop' },
    );
  }

  private result(fleet: ChaosFleet, broker: BrokerServer, load: ClientLoad): ChaosResult {
    const { seed, hosts, schedulers, ttl: ttl_ms } = this.options;
    const { oracle } = broker;
    const broken = fleet.parts.flatMap(({ broken: why }) => (why === null ? [] : [why.message]));
    return {
      ...{ seed, hosts, schedulers, ttl_ms, bots: this.bots.length },
      ...{ elapsed_ms: this.clock.monotonicMs() - this.startedMs, rounds: this.rounds },
      ...{ faults: this.made, notMade: this.notMade },
      ...{ orders: oracle.ordersTotal, epochs: oracle.epochsTotal, overlaps: oracle.overlapsTotal },
      overlapsShown: oracle.overlaps,
      handover: distributionOf(oracle.handovers.map(({ gap_ms }) => gap_ms)),
      handoverShortest: [...oracle.handovers].sort((a, b) => a.gap_ms - b.gap_ms)[0] ?? null,
      ...{ order_ms_max: broker.late_ms_max, stall_ms_max: broker.stall_ms_max },
      load: load.counts,
      ...{ rules: this.verdict, events: this.events },
      ends: Object.fromEntries(
        fleet.parts
          .filter(({ endsBySelf }) => endsBySelf > 0)
          .map(({ name, endsBySelf }) => [name, endsBySelf]),
      ),
      failures: [
        ...this.failures,
        ...broken,
        ...(oracle.overlapsTotal > 0 ? [`${oracle.overlapsTotal} overlaps`] : []),
        ...(oracle.ordersTotal === 0 ? ['No order ever arrived: nothing was proved'] : []),
        ...(broker.malformed > 0 ? [`${broker.malformed} lines at the broker were no orders`] : []),
        ...(this.events?.faults ?? ['The events were not compared']),
        ...(this.verdict?.broken ?? ['The waits were not compared']),
      ],
      logs: this.paths.fleet.logs,
    };
  }

  /** What goes wrong here is told in the result, and the rest is still done. */
  private async try(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.failures.push(messageOf(error));
      this.progress.line(messageOf(error));
    }
  }
}

const isLive = (phase: string): boolean =>
  ['placed', 'accepted', 'preparing', 'starting', 'running', 'stopping'].includes(phase);
const namesOf = ({ faults }: Round): string => faults.map(({ name }) => name).join(' + ');

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error ? ` (${error.cause.message})` : '';
  return `${error.message}${cause}`;
}
