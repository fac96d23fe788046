import { rmSync } from 'node:fs';
import type { Clock } from '#libs/clock';
import { SigningKey } from '#libs/messaging';
import { createLogger } from '#libs/telemetry';
import { waitFor } from '#libs/testing';
import { AuditFleet } from '../../../bench/src/audit/audit.fleet.js';
import type { Progress } from '../../../deploy/local/src/progress.js';
import { Part } from '../parts/part.js';
import type { AuditChaosArguments } from './arguments.js';
import type { AuditChaosResult, KillsMade } from './audit.result.js';
import { sumOf } from './audit.result.js';
import { planKills } from './kill.planner.js';
import { Killer } from './killer.js';
import { type LogBalance, logBalance } from './log.balance.js';
import { type LogFigures, LogReader } from './log.reader.js';
import { OfflineVerification } from './offline.verification.js';
import { OutboxProducer } from './producers/outbox.producer.js';
import { SpoolProducer } from './producers/spool.producer.js';
import { statesOf, Writers } from './writers.js';

const hosts = ['host-a', 'host-b'];
const ready_ms_max = 60_000;
const settle_ms_max = 300_000;
const reprovision_ms = 200;
const reprovision_attempts_max = 100;
const stop_grace_ms = 15_000;
/** What one producer may keep: a part of all, so that kills meet events on their way, within bounds. */
const kept_part = 1 / 10;
const kept_least = 100;
const kept_most = 5000;
const postgres = { shared_buffers: '64MB', max_wal_size: '512MB' };
/** Sooner than in operation: a run is short, and these waits would be most of it. */
const sooner = { TRADEFLEET_REFILL_AFTER_MS: '3000', TRADEFLEET_CHECKPOINT_MS: '2000' };

type Producer = OutboxProducer | SpoolProducer;

/** One run: producers as in production write, parts are killed, and at the end every event is looked for. */
export class AuditTrial {
  private readonly logger = createLogger({ service: 'chaos', level: 'fatal' });
  private readonly failures: string[] = [];
  private readonly made: KillsMade[] = [];
  private readonly producers: Producer[] = [];
  private readonly startedMs: number;
  private balances: (LogBalance & { refilled: number })[] = [];
  private figures: LogFigures | null = null;
  private verified: string | null = null;
  private writing_ms = 0;
  private endsBySelf = 0;

  constructor(
    private readonly options: AuditChaosArguments,
    /** Absolute. What stays of a run are its logs, and all of a run that failed. */
    private readonly folder: string,
    private readonly progress: Progress,
    private readonly clock: Clock,
  ) {
    this.startedMs = clock.monotonicMs();
  }

  /** Throws when it is interrupted, or does not even come up; else all that went wrong is in the result. */
  async run(stop: AbortSignal): Promise<AuditChaosResult> {
    rmSync(this.folder, { recursive: true, force: true });
    const fleet = await this.progress.step(
      'NATS, Postgres',
      async () => await AuditFleet.start({ folder: this.folder, hosts, postgres, audit: sooner }),
    );
    const audit = new Part(
      { ...fleet.command('audit'), name: 'audit', stopGraceMs: stop_grace_ms },
      this.clock,
    );
    const log = new LogReader(() => fleet.databaseUrl);
    try {
      await this.progress.step('audit service, producers', async () => {
        await audit.start();
        await waitFor(async () => await fleet.isReady('audit'), {
          ...{ timeoutMs: ready_ms_max, what: `the audit service (its log: ${audit.logFile})` },
        });
        await this.startProducers(fleet);
        // What comes from a host that nobody has registered waits for that, or is put aside and sent again.
        await waitFor(async () => (await log.hosts()) === hosts.length, {
          ...{ timeoutMs: ready_ms_max, what: 'the registration of the hosts to be recorded' },
        });
      });
      const stopProvisioning = this.provisionWhenBack(fleet, stop);
      await this.try(async () => {
        await this.writeAndKill(fleet, audit, log, stop);
        await this.settle(log, stop);
      });
      stop.throwIfAborted();
      stopProvisioning();
      if (this.options.selfTest) await this.try(async () => await log.removeOne());
      await this.try(async () => await this.judge(log));
      await this.try(async () => {
        await this.progress.step('export and verify offline', async () => {
          this.verified = await new OfflineVerification(fleet).run();
        });
      });
      this.endsBySelf = audit.endsBySelf;
      return this.result();
    } finally {
      await this.try(async () => await this.end(fleet, audit, stop));
    }
  }

  private async startProducers(fleet: AuditFleet): Promise<void> {
    const { clock, logger } = this;
    const auditKeys = [(await fleet.signer('audit')).publicJwk];
    const common = { databaseUrl: fleet.databaseUrl, auditKeys, clock, logger };
    const services = await Promise.all(
      (['scheduler', 'secrets'] as const).map(
        async (service) =>
          await OutboxProducer.start({
            ...{ ...common, service, signingKey: await fleet.signer(service) },
            messaging: await fleet.connectAs(service),
          }),
      ),
    );
    this.producers.push(...services);
    for (const host of hosts) {
      const signingKey = await SigningKey.generate();
      const messaging = await fleet.connectAs({ agent: host });
      const agent = new SpoolProducer({
        ...{ host, folder: this.folder, messaging, signingKey, auditKeys, clock, logger },
      });
      this.producers.push(agent);
      await services[0]?.register(host, agent.incarnation, signingKey.publicJwk);
      agent.start();
    }
  }

  /** The scheduler's part in a fleet: what was lost with the store is made again once the broker is back. */
  private provisionWhenBack(fleet: AuditFleet, stop: AbortSignal): () => void {
    const again = async (): Promise<void> => {
      for (let attempt = 0; attempt < reprovision_attempts_max && !stop.aborted; attempt += 1) {
        try {
          await fleet.provision();
          return;
        } catch {
          // The broker answers before JetStream does, and may be killed again meanwhile.
          await this.clock.sleep(reprovision_ms);
        }
      }
    };
    return fleet.messaging.onConnected(() => void again());
  }

  private async writeAndKill(
    fleet: AuditFleet,
    audit: Part,
    log: LogReader,
    stop: AbortSignal,
  ): Promise<void> {
    const { events, kills } = this.options;
    const kept_max = Math.round(Math.min(kept_most, Math.max(kept_least, events * kept_part)));
    const writers = new Writers(this.producers, this.clock, { events, kept_max });
    writers.add(hosts.length);
    const killer = new Killer(fleet, audit, log, this.clock, kept_max);
    const begin_ms = this.clock.monotonicMs();
    await this.progress.step(`${events} events, ${kills} kills`, async (update) => {
      const failed = new AbortController();
      const both = AbortSignal.any([stop, failed.signal]);
      const writing = writers.run(both).then(() => {
        this.writing_ms = this.clock.monotonicMs() - begin_ms;
      });
      const killing = this.kill(killer, writers, both, update);
      try {
        await Promise.all([writing, killing]);
      } finally {
        failed.abort();
        await Promise.allSettled([writing, killing]);
      }
    });
  }

  private async kill(
    killer: Killer,
    writers: Writers,
    stop: AbortSignal,
    update: (detail: string) => void,
  ): Promise<void> {
    const { events, kills, seed } = this.options;
    for (const planned of planKills({ seed, kills })) {
      while (writers.written < planned.at * events) await this.clock.sleep(20, stop);
      const kill = await killer.make(planned, writers.written, () => writers.written >= events);
      this.made.push(kill);
      const done = sumOf(this.made, ({ targets }) => targets.length);
      update(`${done} kills, ${writers.written} events, last ${planned.targets.join(', ')}`);
    }
  }

  /** Until every producer knows that all it wrote is recorded, the audit service as well, and a checkpoint covers it. */
  private async settle(log: LogReader, stop: AbortSignal): Promise<void> {
    await this.progress.step('all recorded, and known to be', async (update) => {
      const giveUp_ms = this.clock.monotonicMs() + settle_ms_max;
      for (;;) {
        stop.throwIfAborted();
        const kept = sumOf(await statesOf(this.producers), (state) => state.kept);
        const { size, checkpointSize, gapsOpen, ownKept } = await log.figures();
        update(`${kept + ownKept} kept, ${gapsOpen} gaps open, checkpoint ${checkpointSize} of ${size}`);
        if (kept + ownKept + gapsOpen === 0 && checkpointSize >= size) return;
        if (this.clock.monotonicMs() > giveUp_ms)
          throw new Error(
            `After ${settle_ms_max / 1000} s ${kept} events of producers and ${ownKept} of the audit service are not known ` +
              `to be recorded, ${gapsOpen} gaps are open, and the checkpoint covers ${checkpointSize} of ${size}.`,
          );
        await this.clock.sleep(100, stop);
      }
    });
  }

  private async judge(log: LogReader): Promise<void> {
    await this.progress.step('every event by itself', async () => {
      for (const producer of this.producers) {
        const { source } = producer;
        const balance = logBalance(source, await producer.journal(), await log.eventsOf(source));
        this.balances.push({ ...balance, refilled: (await producer.state()).refilled });
        this.failures.push(...balance.faults);
      }
      const known = this.producers.map(({ source }) => source);
      const others = (await log.sources()).filter((source) => !known.includes(source));
      for (const source of others) {
        const events = await log.eventsOf(source);
        // Its own events it keeps itself: their numbers tell whether one is missing.
        this.failures.push(...logBalance(source, events, events).faults);
        if (source !== '/audit') this.failures.push(`${source} is in the log and wrote nothing`);
      }
      this.figures = await log.figures();
      this.failures.push(...faultsOf(this.figures, this.balances, this.made));
    });
  }

  private async end(fleet: AuditFleet, audit: Part, stop: AbortSignal): Promise<void> {
    // Of a run that was interrupted nothing stays: what it left half done is no evidence.
    const failed = this.failures.length > 0 && !stop.aborted;
    await this.progress.step('everything ends', async () => {
      const stopped = await Promise.allSettled(this.producers.map(async (one) => await one.stop()));
      await audit.stop();
      await fleet.stop({ remove: !failed && !this.options.keep });
      for (const one of stopped) if (one.status === 'rejected') throw one.reason;
    });
  }

  private async try(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.failures.push(error instanceof Error ? error.message : String(error));
    }
  }

  private result(): AuditChaosResult {
    const { seed, events } = this.options;
    return {
      ...{ seed, events, kills: sumOf(this.made, ({ targets }) => targets.length), made: this.made },
      ...{ producers: this.balances, log: this.figures, verified: this.verified },
      ...{ writing_ms: this.writing_ms, elapsed_ms: this.clock.monotonicMs() - this.startedMs },
      ...{ endsBySelf: this.endsBySelf, failures: this.failures, logs: this.folder },
    };
  }
}

function faultsOf(
  log: LogFigures,
  balances: readonly (LogBalance & { refilled: number })[],
  made: readonly KillsMade[],
): string[] {
  const faults: string[] = [];
  if (log.records !== log.size || log.misplaced !== 0)
    faults.push(`${log.records} records at ${log.size} positions, ${log.misplaced} of them not exactly once`);
  if (log.quarantined > 0) faults.push(`${log.quarantined} messages were put aside`);
  if (log.gapsOpen > 0) faults.push(`${log.gapsOpen} gaps are open`);
  if (log.gapsLost > 0) faults.push(`${log.gapsLost} gaps were given up`);
  // A store that held nothing would prove nothing.
  if (sumOf(made, ({ lostByStore }) => lostByStore) > 0 && sumOf(balances, ({ refilled }) => refilled) === 0)
    faults.push('nothing was published again, although the store was lost with events in it');
  return faults;
}
