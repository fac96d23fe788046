import { BackgroundLoop, CLOCK, pause, type Clock } from '#libs/clock';
import type { EventTypeName, LogDamage } from '#libs/contracts';
import { Outbox, OutboxRelay, TransactionRunner, type NewEvent, type Transaction } from '#libs/persistence';
import { lazyCounter, LOGGER, metricNames, type Logger } from '#libs/telemetry';
import { tile_hashes } from '#libs/tlog';
import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { AUDIT_CONFIG, type AuditConfig } from '../audit.config.js';
import { LOG_KEY, type LogKey } from '../log/log-key.js';
import { WitnessFiles } from '../log/witness.files.js';
import { DamageRepository } from './damage.repository.js';
import { damageOf } from './stretch.js';
import { StretchRepository } from './stretch.repository.js';
import { TileRebuilder } from './tile.rebuilder.js';

/** A small log is not read again and again. */
const pause_ms_max = 60_000;
/** Damaged stretches that have an event each; of what is beyond log and metric tell. */
const told_max = 16;
/** Of which is kept what is damaged; the rest is found again when these are mended. */
const kept_max = 1024;
/** Between attempts to make lost hashes again that failed. */
const rebuild_again_ms = 3_600_000;

const checked = lazyCounter(metricNames.audit_checked, 'Positions of the log that were read again');
const damaged = lazyCounter(metricNames.audit_damage, 'Damaged stretches found in the log, by what');

/**
 * Reads the whole log again in rounds of about a day, a stretch of 256 records at a time, and holds it to what it was when it
 * was committed: records to their leaves, leaves to tile and witness, tiles to those above them. Where the round is stands in
 * the database, so a restart goes on, and of several processes one reads.
 *
 * Damage changes no root, so checkpoints go on: what is recorded since, and the event that tells of the damage, are
 * vouched for as ever, and whoever breaks a record cannot stop that.
 */
@Injectable()
export class SelfCheckService implements OnModuleDestroy {
  private readonly loop = new BackgroundLoop(async (signal) => await this.run(signal));
  private readonly witness: WitnessFiles;
  private rebuildFrom_ms = -Infinity;

  constructor(
    private readonly stretches: StretchRepository,
    private readonly damage: DamageRepository,
    private readonly rebuilder: TileRebuilder,
    private readonly transactions: TransactionRunner,
    private readonly outbox: Outbox,
    private readonly relay: OutboxRelay,
    @Inject(LOG_KEY) key: LogKey,
    @Inject(AUDIT_CONFIG)
    private readonly config: Pick<AuditConfig, 'witnessDir' | 'selfCheckRoundMs' | 'selfCheckShareMax'>,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.witness = new WitnessFiles(config.witnessDir, key.origin);
  }

  start(): void {
    this.loop.start();
  }

  async onModuleDestroy(): Promise<void> {
    await this.loop.stop();
  }

  /**
   * Reads one stretch, and the first damaged one again. Gives how many stretches the log has. Throws what database or witness
   * throw; it is tried again.
   */
  async step(): Promise<number> {
    const done = await this.transactions.run(async (tx) => {
      const place = await this.damage.hold(tx);
      if (place === null || place.size === 0) return { stretches: 0, found: [], told: 0 };
      const stretches = Math.ceil(place.size / tile_hashes);
      const stretch = Math.min(place.stretch, stretches - 1);
      let told = 0;
      const found: LogDamage[] = [];
      for (const index of new Set([stretch, place.damaged ?? stretch])) {
        if (index >= stretches) continue;
        const damage = await this.look(index, place.size);
        found.push(...damage);
        told += await this.settle(tx, index, damage);
      }
      const isEnd = stretch === stretches - 1;
      await this.damage.move(tx, isEnd ? 0 : stretch + 1, isEnd ? new Date(this.clock.wallMs()) : null);
      return { stretches, found, told };
    });
    if (done.told > 0) this.relay.wake();
    if (done.found.some(({ what }) => what === 'tile-missing')) await this.rebuild();
    return done.stretches;
  }

  private async look(index: number, size: number): Promise<LogDamage[]> {
    const stretch = await this.stretches.read(index, size);
    const witness = (await this.witness.state()).leaves;
    const damage = damageOf({
      ...stretch,
      witness: await this.witness.leaves(stretch.from, Math.max(stretch.from, Math.min(stretch.to, witness))),
    });
    checked.add(stretch.to - stretch.from);
    return damage;
  }

  /** Notes what has become damaged and what has been mended. Gives how many events tell of it. */
  private async settle(tx: Transaction, stretch: number, damage: readonly LogDamage[]): Promise<number> {
    const { damage: known, stretches } = await this.damage.known(tx, stretch);
    const isIn = (list: readonly LogDamage[]) => (it: LogDamage) => list.some(({ what }) => what === it.what);
    const fresh = damage.filter((it) => !isIn(known)(it));
    const mended = known.filter((it) => !isIn(damage)(it));
    if (fresh.length + mended.length === 0) return 0;
    for (const it of fresh) {
      damaged.add(1, { what: it.what });
      this.logger.error({ ...it, remedy }, 'the log is damaged');
    }
    for (const it of mended) this.logger.info({ ...it }, 'the log is mended');
    const isKept = known.length > 0 || stretches < kept_max;
    if (isKept) await this.damage.add(tx, stretch, fresh, new Date(this.clock.wallMs()));
    await this.damage.remove(
      tx,
      stretch,
      mended.map(({ what }) => what),
    );
    const events = [
      ...(stretches < told_max ? fresh.map((it) => toEvent('tradefleet.audit.log-damaged', it)) : []),
      ...(stretches <= told_max ? mended.map((it) => toEvent('tradefleet.audit.log-mended', it)) : []),
    ];
    await this.outbox.events(tx, events);
    return events.length;
  }

  private async rebuild(): Promise<void> {
    const now_ms = this.clock.monotonicMs();
    if (now_ms < this.rebuildFrom_ms) return;
    this.rebuildFrom_ms = now_ms + rebuild_again_ms;
    if ((await this.rebuilder.rebuild()) > 0) this.rebuildFrom_ms = -Infinity;
  }

  private async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const begin_ms = this.clock.monotonicMs();
      let stretches = 0;
      try {
        stretches = await this.step();
      } catch (error) {
        this.logger.warn({ err: error }, 'the log was not read again; trying again');
      }
      const took_ms = this.clock.monotonicMs() - begin_ms;
      const { selfCheckRoundMs, selfCheckShareMax } = this.config;
      const due_ms = Math.min(pause_ms_max, selfCheckRoundMs / Math.max(1, stretches));
      const rest_ms = took_ms * (1 / selfCheckShareMax - 1);
      await pause(this.clock, Math.max(due_ms, rest_ms), signal);
    }
  }
}

const remedy =
  'See docs/AUDIT-RECOVERY.md: lost hashes are made again by themselves, lost and changed records are restored from an export ' +
  'or a backup ("tradefleet audit restore").';

const toEvent = (
  type: Extract<EventTypeName, 'tradefleet.audit.log-damaged' | 'tradefleet.audit.log-mended'>,
  data: LogDamage,
): NewEvent => ({ type, id: 'log', actor: 'service:audit', data });
