import { join } from 'node:path';
import { Test } from '@nestjs/testing';
import { consumers, type LeaseFile } from '#libs/contracts';
import type { PublicJwk } from '#libs/contracts';
import { NestPinoLogger, type Logger } from '#libs/telemetry';
import { aPublicKey } from '#libs/testing';
import { AgentConfig } from '../../services/agent/src/agent.config.js';
import { AgentLifecycle } from '../../services/agent/src/agent.lifecycle.js';
import { AgentModule } from '../../services/agent/src/agent.module.js';
import { FetchGrantHook } from '../../services/agent/src/allocations/hooks/fetch-grant.hook.js';
import { CommandIntake } from '../../services/agent/src/commands/command.intake.js';
import { CommandServer } from '../../services/agent/src/commands/command.server.js';
import type { Behaviour } from '../../services/agent/src/drivers/simulated/behaviour.js';
import { SimulatedDriver } from '../../services/agent/src/drivers/simulated/simulated.driver.js';
import { SimulatedEngine } from '../../services/agent/src/drivers/simulated/simulated.engine.js';
import { Broker } from '../../services/agent/src/host/broker.js';
import { Identity } from '../../services/agent/src/identity/identity.js';
import { LeaseKeeper } from '../../services/agent/src/leases/lease-keeper.js';
import { RUN_FILES } from '../../services/agent/src/run-files/run-files.js';
import { AgentDatabase } from '../../services/agent/src/state/agent.database.js';
import { MemoryRunFiles } from './memory-run-files.js';
import type { Life, Oracle } from './oracle.js';
import { SimulatedMessaging, type Wires } from './simulated-messaging.js';
import type { Link } from './simulated-network.js';
import { SimulatedProcess, type Machine } from './simulated-process.js';

export interface HostOptions {
  readonly machine: Machine;
  readonly link: Link;
  readonly wires: Wires;
  readonly oracle: Oracle;
  readonly folder: string;
  readonly scheduler: PublicJwk;
  readonly leaseMarginMs: number;
  readonly heartbeatTimeoutMs: number;
  /** From the end of a lease to the death of the process group. */
  readonly killMs: number;
  /** Whether a supervisor is in the containers. */
  readonly supervised: boolean;
  readonly logger: Logger;
  /** In place of the real one: to see what becomes of a rule that is taken away. */
  readonly leaseKeeper?: typeof LeaseKeeper;
}

const steady: Behaviour = { start_ms: 5, stop_ms: 5, obeysSigterm: true, startFault: null, exit: null };
const lease_ended: number = 75;

/** A machine with an engine, the containers on it with their supervisors, and the real agent, which comes and goes. */
export class SimulatedHost {
  private readonly engine = new SimulatedEngine();
  private readonly files: MemoryRunFiles;
  private readonly lives = new Map<string, Life>();
  private agent: SimulatedProcess | null = null;
  private database: AgentDatabase | null = null;
  private starts = 0;
  private starting: Promise<void> = Promise.resolve();

  constructor(private readonly options: HostOptions) {
    const { machine } = options;
    this.files = new MemoryRunFiles(
      (lease) => this.superviseUntil(lease),
      () => machine.wallMs(),
    );
    this.engine.listen(
      machine.name,
      ({ kind, allocation }) => {
        if (kind === 'started') this.begun(allocation);
        if (kind === 'exited' || kind === 'destroyed') this.ended(allocation);
      },
      new AbortController().signal,
    );
  }

  get name(): string {
    return this.options.machine.name;
  }

  get process(): SimulatedProcess | null {
    return this.agent;
  }

  /** Accounts whose instance could act now. */
  acting(): string[] {
    return [...this.lives.values()].filter((life) => life.until_ms > this.now_ms).map((life) => life.account);
  }

  async start(): Promise<void> {
    if (this.agent !== null) return;
    const { machine, link, wires, logger, leaseKeeper } = this.options;
    this.starts += 1;
    const process = new SimulatedProcess(machine, `${this.name}/agent-${this.starts}`);
    this.agent = process;
    // One that was killed while it started lets go of its files only when it is made.
    const before = this.starting;
    this.starting = process.outsideOf(
      process.as(async () => {
        await before;
        const config = this.config();
        const identity = await Identity.load(config.host, config.stateDir);
        const driver = new SimulatedDriver(
          { host: config.host, engine: this.engine, behaviour: () => steady, runtimes: ['paper'] },
          process,
        );
        const messaging = new SimulatedMessaging(wires, process, link, logger);
        const builder = Test.createTestingModule({
          imports: [
            AgentModule.forRoot({ config, identity, driver, clock: process, logger, version: '1.0.0' }),
          ],
        })
          .setLogger(new NestPinoLogger(logger))
          .overrideProvider(Broker)
          .useValue(new Broker(async () => messaging))
          .overrideProvider(FetchGrantHook)
          .useValue({ name: 'grant', lasting: false, run: () => Promise.resolve() })
          .overrideProvider(RUN_FILES)
          .useValue(this.files)
          .overrideProvider(CommandServer)
          .useFactory({
            inject: [CommandIntake],
            factory: (intake: CommandIntake) => this.commandServer(process, intake),
          });
        if (leaseKeeper !== undefined) builder.overrideProvider(LeaseKeeper).useClass(leaseKeeper);
        const app = await builder.compile();
        await app.init();
        if (process.isDead) {
          app.get(AgentDatabase).close();
          return;
        }
        this.database = app.get(AgentDatabase);
        app
          .get(AgentLifecycle)
          .start(new AbortController().signal)
          .catch((error: unknown) => {
            // A file it waited for when it was killed: it would not have lived to see its database closed.
            if (!process.isDead) throw error;
          });
      }),
    );
    await this.starting;
  }

  /** SIGKILL of the agent; the containers live on. */
  kill(): void {
    this.agent?.kill();
    this.agent = null;
    this.database?.close();
    this.database = null;
  }

  /** A container ends by itself. @returns whether there was one */
  crashOne(which: number): boolean {
    const running = this.engine.ofHost(this.name).filter((task) => task.state === 'running');
    const task = running[which % Math.max(1, running.length)];
    task?.end({ exitCode: 1, outOfMemory: false, unknown: false });
    return task !== undefined;
  }

  private get now_ms(): number {
    return this.options.machine.time.now_ms;
  }

  private config(): AgentConfig {
    const { folder, scheduler, leaseMarginMs, heartbeatTimeoutMs } = this.options;
    return AgentConfig.parse({
      host: this.name,
      natsUrl: ['nats://simulated:4222'],
      schedulerPublicKey: [scheduler],
      auditPublicKey: aPublicKey,
      stateDir: join(folder, this.name),
      runRoot: join(folder, `${this.name}-run`),
      runRootAllowDisk: true,
      driver: 'simulated',
      leaseMarginMs,
      heartbeatTimeoutMs,
      capacityBots: 20,
    });
  }

  private commandServer(
    process: SimulatedProcess,
    intake: CommandIntake,
  ): Pick<CommandServer, 'start' | 'close'> {
    const { link, wires } = this.options;
    let end = (): void => undefined;
    return {
      start: () => {
        end = wires.streams.take(consumers.agentCommands(this.name), {
          ...{ process, link },
          take: async (delivery) => await intake.take(delivery),
        });
        return Promise.resolve();
      },
      close: () => {
        end();
        return Promise.resolve();
      },
    };
  }

  /** The supervisor starts nothing without a live lease, and ends what runs when its lease ends. */
  private begun(allocation: string): void {
    const { machine, oracle } = this.options;
    const task = this.engine.ofHost(this.name).find((each) => each.spec.allocation === allocation);
    const lease = this.files.lease(allocation);
    if (task === undefined || lease === null) return;
    const { account, epoch } = task.spec;
    const life = oracle.begin({ account, epoch, allocation, host: machine.name, from_ms: this.now_ms });
    this.lives.set(allocation, life);
    this.superviseUntil(lease);
  }

  private superviseUntil(lease: LeaseFile): void {
    const { machine, killMs, supervised } = this.options;
    const life = this.lives.get(lease.allocation);
    if (life === undefined) return;
    const deadline_ms = machine.trueTimeOf(lease.deadlineBoottimeMs);
    if (supervised) life.until_ms = deadline_ms + killMs;
    if (!supervised) return;
    machine.time.at(deadline_ms + killMs, () => this.endIfOver(lease.allocation));
  }

  private endIfOver(allocation: string): void {
    const { machine, killMs } = this.options;
    const lease = this.files.lease(allocation);
    const task = this.engine.ofHost(this.name).find((each) => each.spec.allocation === allocation);
    if (task === undefined || task.state !== 'running') return;
    if (lease !== null && machine.trueTimeOf(lease.deadlineBoottimeMs) + killMs > this.now_ms + 0.001) return;
    if (machine.isSuspended) {
      machine.time.at(this.now_ms + 100, () => this.endIfOver(allocation));
      return;
    }
    task.end({ exitCode: lease_ended, outOfMemory: false, unknown: false });
  }

  private ended(allocation: string): void {
    const life = this.lives.get(allocation);
    if (life === undefined) return;
    life.until_ms = Math.min(life.until_ms, this.now_ms);
    this.lives.delete(allocation);
  }
}
