import { BackgroundLoop, CLOCK, pause, type Clock } from '#libs/clock';
import { subjects, type LogCheckpoint, type LogDivergence } from '#libs/contracts';
import { encodeJson, Messaging } from '#libs/messaging';
import { Outbox, OutboxRelay, TransactionRunner } from '#libs/persistence';
import type { Frontier } from '#libs/tlog';
import { lazyCounter, LOGGER, metricNames, type Logger } from '#libs/telemetry';
import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { AUDIT_CONFIG, type AuditConfig } from '../audit.config.js';
import { CheckpointRepository, type LogSnapshot } from './checkpoint.repository.js';
import { LOG_KEY, type LogKey } from './log-key.js';
import { LogDiverged, vouch } from './vouching.js';
import { WitnessFiles } from './witness.files.js';

const look_ms_max = 1000;
const publish_ms_max = 5000;

const checkpoints = lazyCounter(metricNames.audit_checkpoints, 'Checkpoints of the log by outcome');

/**
 * Makes the checkpoints: every so many records, or after so long when there is something new. The witness sees a
 * checkpoint first, then the database, then the stream of checkpoints; each can be made again from the one before.
 */
@Injectable()
export class CheckpointService implements OnModuleDestroy {
  private readonly loop = new BackgroundLoop(async (signal) => await this.run(signal));
  private readonly witness: WitnessFiles;
  private divergence: LogDivergence | null = null;
  /** What the last checkpoint was of; null before the first look of this process. */
  private vouched: Frontier | null = null;
  private lastAt_ms = -Infinity;
  /** The newest one that the stream does not have. */
  private unpublished: LogCheckpoint | null = null;

  constructor(
    private readonly repository: CheckpointRepository,
    private readonly messaging: Messaging,
    private readonly transactions: TransactionRunner,
    private readonly outbox: Outbox,
    private readonly relay: OutboxRelay,
    @Inject(LOG_KEY) private readonly key: LogKey,
    @Inject(AUDIT_CONFIG)
    private readonly config: Pick<AuditConfig, 'witnessDir' | 'checkpointEvents' | 'checkpointMs'>,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.witness = new WitnessFiles(config.witnessDir, key.origin);
  }

  /** Why no checkpoints are made; null as it should be. */
  get diverged(): LogDivergence | null {
    return this.divergence;
  }

  start(): void {
    this.loop.start();
  }

  async onModuleDestroy(): Promise<void> {
    await this.loop.stop();
  }

  /** Makes a checkpoint if one is due. Throws what database or witness throw; it is tried again. */
  async look(): Promise<void> {
    if (await this.isDue()) await this.make();
    if (this.unpublished !== null) await this.publish(this.unpublished);
  }

  /** Makes a checkpoint of what there is, unless there is one. */
  async make(): Promise<void> {
    this.lastAt_ms = this.clock.monotonicMs();
    try {
      const made = await this.repository.exclusively(
        this.key.origin,
        async (log) => await this.vouchFor(log),
      );
      if (made !== null) await this.settle(null);
    } catch (error) {
      if (!(error instanceof LogDiverged)) throw error;
      await this.settle(error.divergence);
    }
  }

  private async isDue(): Promise<boolean> {
    const waited_ms = this.clock.monotonicMs() - this.lastAt_ms;
    if (this.vouched === null || this.divergence !== null) return waited_ms >= this.config.checkpointMs;
    const fresh = (await this.repository.size()) - this.vouched.size;
    if (fresh < 0) return true;
    return fresh >= this.config.checkpointEvents || (fresh > 0 && waited_ms >= this.config.checkpointMs);
  }

  private async vouchFor(log: LogSnapshot): Promise<LogCheckpoint> {
    const { frontier, note, isKnown } = await vouch(log, this.witness, this.key, this.vouched);
    this.vouched = frontier;
    const { size } = frontier;
    const createdAt = new Date(this.clock.wallMs()).toISOString();
    const root = frontier.root().toString('base64');
    const checkpoint = { origin: this.key.origin, size, root, note, createdAt };
    // The service may have ended between witness and database, so an old one is added as well.
    if (note !== log.note && size > 0) await log.add(checkpoint);
    if (!isKnown) {
      this.unpublished = checkpoint;
      checkpoints.add(1, { outcome: 'made' });
    }
    return checkpoint;
  }

  /** Tells once that the log has diverged, and once that it is what it was again. */
  private async settle(divergence: LogDivergence | null): Promise<void> {
    const before = this.divergence;
    this.divergence = divergence;
    if (divergence === null) {
      if (before !== null)
        this.logger.info({ origin: this.key.origin }, 'log is what its witness has seen again');
      return;
    }
    checkpoints.add(1, { outcome: 'diverged' });
    if (before?.what === divergence.what) return;
    this.logger.error(
      {
        origin: this.key.origin,
        ...divergence,
        remedy:
          'Find out what happened to the database: export it and run "tradefleet audit verify --against" the witness. ' +
          'Bring the right database back, or, where what is lost is lost, go on under a new TRADEFLEET_LOG_ORIGIN.',
      },
      'log has diverged from its witness: no more checkpoints',
    );
    const event = {
      type: 'tradefleet.audit.log-diverged' as const,
      id: 'log',
      actor: 'service:audit',
      data: { origin: this.key.origin, ...divergence },
    };
    await this.transactions.run(async (tx) => await this.outbox.event(tx, event));
    this.relay.wake();
  }

  /** A copy that is not taken is offered again; only the newest one counts. */
  private async publish(checkpoint: LogCheckpoint): Promise<void> {
    await this.messaging.publishDurable(
      {
        subject: subjects.logCheckpoint(),
        messageId: `${checkpoint.origin}:${checkpoint.size}`,
        body: encodeJson(checkpoint),
        headers: {},
      },
      { timeoutMs: publish_ms_max },
    );
    if (this.unpublished === checkpoint) this.unpublished = null;
  }

  private async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.look();
      } catch (error) {
        this.logger.warn({ err: error }, 'checkpoint not made; trying again');
      }
      await pause(this.clock, Math.min(look_ms_max, this.config.checkpointMs), signal);
    }
  }
}
