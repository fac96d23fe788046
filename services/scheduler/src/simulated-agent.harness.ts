import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '#libs/clock';
import {
  Command,
  consumers,
  isLive,
  signatureHeader,
  subjects,
  type AllocationEventData,
  type AllocationState,
  type EndReason,
  type HeartbeatAck,
  type HostRegistered,
  type HostRegister,
  type ObservedAllocation,
  type PrepareCommand,
  type PublicJwk,
  type StartCommand,
} from '#libs/contracts';
import {
  connectMessaging,
  header,
  JetStreamServer,
  verifySignature,
  type Delivery,
  type Messaging,
  type OutgoingMessage,
} from '#libs/messaging';
import { createLogger } from '#libs/telemetry';
import { waitFor } from '#libs/testing';
import { SignedHost } from './heartbeats/signed-host.harness.js';

/** One life of a bot: it may have traded from `from_ms` until `until_ms`, on the clock all share. */
export interface Life {
  readonly account: string;
  readonly allocation: string;
  readonly epoch: number;
  readonly host: string;
  readonly from_ms: number;
  /** When it was stopped, or else when its lease ended at the latest. */
  until_ms: number;
}

/** What a broker would see: who may have traded an account when. */
export class Oracle {
  readonly lives: Life[] = [];

  /** Pairs of lives of one account that were at the same time; must be none, ever. */
  overlaps(): [Life, Life][] {
    const found: [Life, Life][] = [];
    for (const [i, a] of this.lives.entries())
      for (const b of this.lives.slice(i + 1))
        if (a.account === b.account && a.from_ms < b.until_ms && b.from_ms < a.until_ms) found.push([a, b]);
    return found;
  }
}

interface Held {
  readonly command: StartCommand;
  state: AllocationState;
  /** How it failed. */
  reason: EndReason | null;
  life: Life | null;
}

const heartbeat_soon_ms = 20;

/**
 * An agent with nothing behind it: real registration, heartbeats, signed commands in and signed events out, over a real
 * broker. Bots start with their first lease and end with a stop command or with their lease.
 */
export class SimulatedAgent {
  readonly held = new Map<string, Held>();
  /** What becomes of preparations: null when they succeed, `silent` when nothing is ever heard of them. */
  preparation: (command: PrepareCommand) => 'image-missing' | 'prepare-failed' | 'silent' | null = () => null;
  /** Start commands that were taken, repetitions included. */
  commandsTaken = 0;
  private readonly stopping = new AbortController();
  private server: JetStreamServer | null = null;
  private registered: HostRegistered | null = null;
  private outgoing: OutgoingMessage[] = [];
  private publishing: Promise<void> = Promise.resolve();
  private beating: Promise<void> | null = null;
  private interrupt: (() => void) | null = null;
  private wanted = false;
  private partitioned = false;
  private heartbeatsAnswered = 0;

  private constructor(
    readonly identity: SignedHost,
    private readonly messaging: Messaging,
    private readonly scheduler: () => PublicJwk,
    private readonly clock: Clock,
    private readonly oracle: Oracle,
    private readonly breaks: (command: StartCommand) => boolean,
  ) {}

  static async start(options: {
    natsUrl: string;
    scheduler: () => PublicJwk;
    clock: Clock;
    oracle: Oracle;
    host?: Partial<HostRegister>;
    /** Bots that exit as soon as they are started. Default: none. */
    breaks?: (command: StartCommand) => boolean;
  }): Promise<SimulatedAgent> {
    const identity = await SignedHost.create(options.host);
    const logger = createLogger({ service: 'agent', level: 'silent' });
    const messaging = await connectMessaging({ servers: options.natsUrl, name: identity.name, logger });
    const agent = new SimulatedAgent(
      identity,
      messaging,
      options.scheduler,
      options.clock,
      options.oracle,
      options.breaks ?? (() => false),
    );
    agent.beating = agent.beat();
    await agent.takeCommands();
    // Before its first heartbeat the scheduler gives it nothing.
    await waitFor(() => agent.heartbeatsAnswered > 0, { what: 'the first answer to an agent' });
    return agent;
  }

  get name(): string {
    return this.identity.name;
  }

  /** Cuts it off: it hears and says nothing, and its bots go on until their leases end. */
  partition(cut: boolean): void {
    this.partitioned = cut;
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    this.soon();
    await this.server?.close();
    await this.beating;
    await this.publishing;
    await this.messaging.drain();
  }

  private async takeCommands(): Promise<void> {
    const spec = consumers.agentCommands(this.name);
    const server = new JetStreamServer(this.messaging, {
      consumers: [{ spec, concurrency: 64 }],
      nakBackoff: { min_ms: 50, max_ms: 200 },
    });
    server.addHandler(spec.durable, async (delivery: Delivery) => this.take(delivery), true, {
      kind: 'consume',
      consumer: spec.durable,
    });
    await new Promise<void>((resolve, reject) => {
      server.listen((error) => {
        if (error === undefined || error === null) resolve();
        else reject(new Error('The consumer of commands does not listen.', { cause: error }));
      });
    });
    this.server = server;
  }

  private async take(delivery: Delivery): Promise<void> {
    if (this.partitioned) throw new Error('cut off');
    await verifySignature(delivery.bytes, header(delivery.headers, signatureHeader), this.scheduler());
    const command = Command.parse(delivery.body);
    if (command.host !== this.name) throw new Error('a command for another host');
    if (command.verb === 'stop') return this.end(command.allocation, 'stopped');
    if (command.verb === 'prepare') return this.prepare(command);
    this.commandsTaken += 1;
    if (this.held.has(command.allocation)) return;
    const held: Held = { command, state: 'accepted', reason: null, life: null };
    this.held.set(command.allocation, held);
    await this.tell(held, 'accepted');
    this.soon();
  }

  /** Says that it is ready, or whatever a test has it say. */
  private async prepare(command: PrepareCommand): Promise<void> {
    const failure = this.preparation(command);
    if (failure === 'silent') return;
    const { move, account } = command;
    const type = failure === null ? 'tradefleet.move.prepared' : 'tradefleet.move.prepare-failed';
    const detail = failure === null ? null : 'as the test has it';
    const data = { move, host: this.name, account, code: failure, detail, tookMs: 1 };
    this.outgoing.push(await this.identity.preparation(type, data));
    this.publishing = this.publishing.then(() => this.flush());
  }

  private async end(
    allocation: string,
    state: 'stopped' | 'failed',
    reason: EndReason = 'lease-ended',
  ): Promise<void> {
    const held = this.held.get(allocation);
    if (held === undefined || !isLive(held.state)) return;
    held.state = state;
    held.reason = state === 'failed' ? reason : null;
    if (held.life !== null) held.life.until_ms = Math.min(held.life.until_ms, this.clock.monotonicMs());
    await this.tell(held, state);
    this.soon();
  }

  private async beat(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      try {
        if (!this.partitioned) await this.exchange();
      } catch {
        // The next heartbeat tries again; leases end meanwhile.
        this.registered = null;
      }
      await this.untilNext(this.registered?.heartbeatIntervalMs ?? 100);
    }
  }

  /** The interval, or a moment after something is to be told. */
  private async untilNext(interval_ms: number): Promise<void> {
    const timer = new AbortController();
    const wake = new Promise<void>((resolve) => (this.interrupt = resolve));
    const interval = delay(interval_ms, undefined, { signal: timer.signal }).catch(() => undefined);
    if (!this.wanted) await Promise.race([interval, wake]);
    timer.abort();
    this.wanted = false;
    if (!this.stopping.signal.aborted) await delay(heartbeat_soon_ms);
  }

  /** Something is to be told: a heartbeat at once, now or after the one under way. */
  private soon(): void {
    this.wanted = true;
    this.interrupt?.();
  }

  private async exchange(): Promise<void> {
    const options = { signer: this.identity.key, verify: this.scheduler(), timeoutMs: 2000 };
    this.registered ??= await this.messaging.request<HostRegistered>(
      subjects.register(this.name),
      this.identity.register(),
      options,
    );
    const sent_ms = this.clock.monotonicMs();
    const ended = [...this.held.values()].filter((held) => !isLive(held.state));
    const body = this.identity.heartbeat([...this.held.values()].map(observed));
    const ack = await this.messaging.request<HeartbeatAck>(subjects.heartbeat(this.name), body, options);
    this.heartbeatsAnswered += 1;
    if (this.partitioned) return;
    for (const held of ended) this.held.delete(held.command.allocation);
    const deadline_ms = sent_ms + ack.leaseTtlMs * (1 - 0.001);
    for (const { allocation } of ack.leases) await this.renew(allocation, deadline_ms);
    for (const allocation of ack.stop) await this.end(allocation, 'stopped');
  }

  private async renew(allocation: string, deadline_ms: number): Promise<void> {
    const held = this.held.get(allocation);
    const now_ms = this.clock.monotonicMs();
    if (held === undefined || !isLive(held.state) || now_ms >= deadline_ms) return;
    if (held.life !== null) {
      // Its lease had ended before this one came: it is dead, and no lease brings it back.
      if (now_ms >= held.life.until_ms) return this.end(allocation, 'failed');
      held.life.until_ms = deadline_ms;
      return;
    }
    const { account, epoch } = held.command;
    held.life = { account, allocation, epoch, host: this.name, from_ms: now_ms, until_ms: deadline_ms };
    this.oracle.lives.push(held.life);
    if (this.breaks(held.command)) return this.end(allocation, 'failed', 'exited');
    for (const state of ['preparing', 'starting', 'running'] as const) {
      held.state = state;
      await this.tell(held, state);
    }
  }

  /** Signs an event and has it published, in order, in batches. */
  private async tell(held: Held, state: Exclude<AllocationState, 'placed' | 'lost'>): Promise<void> {
    const { allocation, tenant, bot, account, host, epoch } = held.command;
    const data: AllocationEventData = {
      allocation,
      tenant,
      bot,
      account,
      host,
      epoch,
      state,
      stage: null,
      attempt: 1,
      reason: held.reason,
      detail: null,
      exitCode: null,
    };
    this.outgoing.push(await this.identity.event(`tradefleet.allocation.${state}`, data));
    this.publishing = this.publishing.then(() => this.flush());
  }

  private async flush(): Promise<void> {
    const batch = this.outgoing.splice(0);
    if (batch.length > 0 && !this.partitioned) await this.messaging.publishDurableAll(batch);
  }
}

const observed = ({ command, state, reason }: Held): ObservedAllocation => ({
  id: command.allocation,
  account: command.account,
  epoch: command.epoch,
  state,
  reason,
  detail: null,
  exitCode: null,
  attempt: 1,
  lastExit: null,
  observation: null,
});
