import type { ApiName, ApiParsed, ApiResponse } from '#libs/contracts';
import { Outbox, OutboxRelay, TransactionRunner } from '#libs/persistence';
import { Injectable } from '@nestjs/common';
import { refusal } from '../errors.js';
import { IdempotencyRepository } from '../idempotency/idempotency.repository.js';
import { ReconcilerSignal } from '../reconciliation/reconciler.signal.js';
import type { Asker } from './asker.js';
import { canonicalHash } from './canonical-json.js';
import { Change } from './change.js';

/** Operations that change something: those whose requests take an idempotency key. */
export type WriteName = {
  [N in ApiName]: ApiParsed<N> extends { idempotencyKey?: unknown } ? N : never;
}[ApiName];

/**
 * The one way to change desired state: everything a request does, its operation, its events and the answer under its
 * idempotency key are one transaction. Then those are woken who carry on from there.
 */
@Injectable()
export class ChangesService {
  constructor(
    private readonly transactions: TransactionRunner,
    private readonly idempotency: IdempotencyRepository,
    private readonly outbox: Outbox,
    private readonly relay: OutboxRelay,
    private readonly reconciler: ReconcilerSignal,
  ) {}

  /**
   * Carries out `work` once for each idempotency key, and gives the first answer again to the same request. A refused
   * request leaves nothing, so its key may be used again. `work` may be run again after a deadlock: it must do nothing
   * outside of its transaction.
   * @param remembered what is stored of an answer with a secret in it, and given the second time
   */
  async carryOut<N extends WriteName>(
    name: N,
    request: ApiParsed<N> & { idempotencyKey?: string | undefined },
    asker: Asker,
    work: (change: Change) => Promise<ApiResponse<N>>,
    { remembered = (answer) => answer }: { remembered?: (answer: ApiResponse<N>) => ApiResponse<N> } = {},
  ): Promise<ApiResponse<N>> {
    const answer = await this.transactions.run(async (tx) => {
      const change = new Change(tx, asker, this.outbox);
      const { idempotencyKey: key, ...body } = request;
      if (key === undefined) return await work(change);

      const requestHash = canonicalHash(body);
      const before = await this.idempotency.hold(tx, key);
      if (before !== null) {
        if (before.operationName !== name || before.requestHash !== requestHash) {
          throw refusal.idempotencyKeyReused(before.operationName);
        }
        return before.response as ApiResponse<N>;
      }
      const answer = await work(change);
      const response = remembered(answer);
      await this.idempotency.remember(tx, key, { operationName: name, requestHash, response });
      return answer;
    });
    this.relay.wake();
    this.reconciler.wake(name);
    return answer;
  }
}
