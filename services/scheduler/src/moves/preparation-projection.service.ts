import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { ProblemError, type ErrorCode, type EventData } from '#libs/contracts';
import { verifyEvent, type DecodedEvent, type Delivery } from '#libs/messaging';
import { storableText } from '../database/storable.js';
import { HostDirectory } from '../heartbeats/host.directory.js';
import { RejectionLog, type Rejection } from '../heartbeats/rejection.log.js';
import { LeaderTransaction } from '../leadership/leader-transaction.repository.js';
import { decodeOrReject } from '../projection/decode-delivery.js';
import { ReconcilerSignal } from '../reconciliation/reconciler.signal.js';
import { MoveRepository } from './move.repository.js';
import { MoveService } from './move.service.js';

type Preparation = EventData<'tradefleet.move.prepared'>;

/**
 * What hosts say of their preparations, into moves. Signed by the host that says it, and heard only of the target of
 * the move while it prepares: a late or a foreign word changes nothing. What is lost is said again when the target is asked again.
 */
@Injectable()
export class PreparationProjectionService {
  constructor(
    private readonly directory: HostDirectory,
    private readonly moves: MoveRepository,
    private readonly service: MoveService,
    private readonly transaction: LeaderTransaction,
    private readonly rejections: RejectionLog,
    private readonly signal: ReconcilerSignal,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** Resolves when every delivery is in the database or rejected; throws when the database could not take them. */
  async project(deliveries: readonly Delivery[]): Promise<void> {
    const rejected: Rejection[] = [];
    const said: Preparation[] = [];
    for (const delivery of deliveries) {
      const preparation = await this.check(delivery, rejected);
      if (preparation !== null) said.push(preparation);
    }
    if (said.length > 0 && (await this.write(said))) this.signal.wake('targets are prepared');
    await this.rejections.record(rejected);
  }

  /** Answers whether any move goes on with it. */
  private async write(said: readonly Preparation[]): Promise<boolean> {
    const now = new Date(this.clock.wallMs());
    return this.transaction.run(async (tx) => {
      const ready = said.filter(({ code }) => code === null);
      const prepared = await this.moves.prepared(tx, ready, now);
      const failed = said.filter(({ code }) => code !== null);
      const awaited = new Set(await this.moves.awaited(tx, failed));
      const ends = failed
        .filter(({ move }) => awaited.has(move))
        .map(({ move, host, code, detail }) => ({
          id: move,
          state: 'failed' as const,
          to: null,
          gapMs: null,
          failure: code,
          detail: storableText(`${host} could not get ready: ${detail ?? code ?? ''}`),
        }));
      if (ends.length > 0) await this.service.endIn(tx, ends);
      return prepared.length + ends.length > 0;
    });
  }

  /** Null for what is not to be projected: the scheduler's own events, and what was rejected. */
  private async check(delivery: Delivery, rejected: Rejection[]): Promise<Preparation | null> {
    const event = decodeOrReject(delivery);
    if (event === null || event.attributes.source === '/scheduler') return null;
    const [, kind, host = ''] = event.attributes.source.split('/');
    const reject = (code: ErrorCode, detail: string): null => {
      delivery.reject(`${code}: ${detail}`);
      if (kind === 'agent' && host !== '')
        rejected.push({ host, allocation: null, verb: event.what, code, detail: detail.slice(0, 300) });
      return null;
    };
    if (kind !== 'agent' || !isPreparation(event))
      return reject('invalid_request', 'Only agents tell of preparations, and of nothing else about moves.');
    const { data } = event;
    if (data.host !== host || data.move !== event.entityId)
      return reject('wrong_host', 'The event names another host or move than it comes from.');
    const key = await this.directory.signingKey(host);
    if (key === null) return reject('host_not_registered', 'No such host has registered.');
    try {
      await verifyEvent(delivery, key);
    } catch (error) {
      if (!(error instanceof ProblemError)) throw error;
      return reject(error.code, error.detail);
    }
    return data;
  }
}

const isPreparation = (event: DecodedEvent): event is DecodedEvent & { data: Preparation } =>
  event.type === 'tradefleet.move.prepared' || event.type === 'tradefleet.move.prepare-failed';
