import { Test } from '@nestjs/testing';
import { isObservable, lastValueFrom } from 'rxjs';
import { consumers, type ConsumerSpec } from '#libs/contracts';
import { CombinedServer, JetStreamServer, RequestReplyServer, type SigningKey } from '#libs/messaging';
import { OutboxRelay } from '#libs/persistence';
import { NestPinoLogger, type Logger } from '#libs/telemetry';
import { aPublicKey } from '#libs/testing';
import { LEADERSHIP, type Leadership } from '../../services/scheduler/src/leadership/leadership.js';
import { ReconcilerLoop } from '../../services/scheduler/src/reconciliation/reconciler.loop.js';
import { SchedulerConfig } from '../../services/scheduler/src/scheduler.config.js';
import { SchedulerModule } from '../../services/scheduler/src/scheduler.module.js';
import { SimulatedMessaging, type Wires } from './simulated-messaging.js';
import type { Link } from './simulated-network.js';
import { SimulatedProcess, type Machine } from './simulated-process.js';

export interface SchedulerSetup {
  readonly machine: Machine;
  readonly link: Link;
  readonly wires: Wires;
  readonly databaseUrl: string;
  readonly signingKey: SigningKey;
  readonly logger: Logger;
  readonly settings: Partial<SchedulerConfig>;
  /** Changes the leadership: to see what becomes of a rule that is taken away. */
  readonly spoil?: (original: RuleBearing) => Partial<RuleBearing>;
}

/** Where the rules of the leader are. */
export type RuleBearing = Pick<Leadership, 'lead' | 'current' | 'guard'>;

/** How long whoever starts processes again takes to notice. */
const restart_ms = 300;

/** Gives events of the simulated streams to the handlers that the real server would give them to. */
class SimulatedConsumers extends JetStreamServer {
  constructor(
    messaging: SimulatedMessaging,
    private readonly specs: readonly ConsumerSpec[],
    private readonly open: (spec: ConsumerSpec, take: (deliveries: unknown[]) => Promise<void>) => void,
  ) {
    super(messaging, { consumers: [] });
  }

  override listen(callback: (error?: unknown) => void): void {
    for (const spec of this.specs) {
      const handler = this.messageHandlers.get(spec.durable);
      if (handler === undefined) throw new Error(`Nothing handles ${spec.durable}.`);
      this.open(spec, async (deliveries) => {
        const returned: unknown = await handler(deliveries);
        if (isObservable(returned)) await lastValueFrom(returned, { defaultValue: undefined });
      });
    }
    callback();
  }

  override close(): Promise<void> {
    return Promise.resolve();
  }
}

/** The real scheduler in a process that leads or stands by; it is started again when it ends. */
export class SimulatedScheduler {
  private process_: SimulatedProcess | null = null;
  private leadership: Leadership | null = null;
  private starts = 0;

  constructor(private readonly setup: SchedulerSetup) {}

  get machine(): Machine {
    return this.setup.machine;
  }

  get process(): SimulatedProcess | null {
    return this.process_;
  }

  get leads(): boolean {
    return this.process_?.as(() => this.leadership?.current() ?? null) != null;
  }

  async start(): Promise<void> {
    if (this.process_ !== null) return;
    const { machine } = this.setup;
    this.starts += 1;
    const process = new SimulatedProcess(machine, `${machine.name}/scheduler-${this.starts}`);
    this.process_ = process;
    await process.outsideOf(process.as(async () => await this.run(process)));
  }

  kill(): void {
    this.process_?.kill();
    this.process_ = null;
    this.leadership = null;
  }

  private async run(process: SimulatedProcess): Promise<void> {
    const { link, wires, databaseUrl, signingKey, logger, settings, spoil } = this.setup;
    const config = SchedulerConfig.parse({
      natsUrl: ['nats://simulated:4222'],
      databaseUrl,
      signingKeyPath: '-',
      auditPublicKey: aPublicKey,
      databasePoolMax: 4,
      hostJoin: 'open',
      ...settings,
    });
    const messaging = new SimulatedMessaging(wires, process, link, logger);
    const builder = Test.createTestingModule({
      imports: [SchedulerModule.forRoot({ config, clock: process, logger, messaging, signingKey })],
    }).setLogger(new NestPinoLogger(logger));
    const module = await builder.compile();
    const leadership = module.get<Leadership>(LEADERSHIP);
    if (spoil !== undefined) spoilLeadership(leadership, spoil);
    const requests = new RequestReplyServer(messaging, {
      mayAnswer: () => leadership.current() !== null,
      replySigner: signingKey,
    });
    const events = new SimulatedConsumers(
      messaging,
      [consumers.schedulerProjection, consumers.schedulerMoves],
      (spec, take) =>
        wires.streams.take(spec, { process, link, take: async (delivery) => await take([delivery]) }),
    );
    const app = module.createNestMicroservice({ strategy: new CombinedServer([requests, events]) });
    this.leadership = leadership;
    leadership.onLost(() => this.endAndReturn(process));
    void this.lead(process, leadership, async () => {
      module.get(OutboxRelay).start(() => leadership.current() !== null);
      await app.listen();
      module.get(ReconcilerLoop).start();
    });
  }

  private async lead(
    process: SimulatedProcess,
    leadership: Leadership,
    begin: () => Promise<void>,
  ): Promise<void> {
    await leadership.lead(new AbortController().signal);
    await process.outsideOf(begin());
  }

  /** As `main.ts` and whoever runs it: the process ends at once and is started again. */
  private endAndReturn(process: SimulatedProcess): void {
    if (this.process_ !== process) return;
    const { time } = this.setup.machine;
    this.kill();
    time.at(time.now_ms + restart_ms, () => void this.start());
  }
}

/** The parts of the scheduler have the real one injected already, so its methods are replaced. */
function spoilLeadership(real: Leadership, spoil: (original: RuleBearing) => Partial<RuleBearing>): void {
  const original: RuleBearing = {
    lead: real.lead.bind(real),
    current: real.current.bind(real),
    guard: real.guard.bind(real),
  };
  Object.assign(real, spoil(original));
}
