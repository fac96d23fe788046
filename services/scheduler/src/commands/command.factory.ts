import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import {
  AllocationToken,
  newId,
  PrepareCommand,
  signatureHeader,
  StartCommand,
  StopCommand,
  subjects,
  type Command,
} from '#libs/contracts';
import { signToken, type SigningKey } from '#libs/messaging';
import type { NewMessage } from '#libs/persistence';
import type { PlacedAllocation, StoppingAllocation } from '../allocations/allocation.rows.js';
import type { PreparingMove } from '../moves/move.repository.js';
import { RUNTIME_SETTINGS, type RuntimeSettings } from '../runtime.settings.js';
import { SCHEDULER_SIGNING_KEY } from '../scheduler.keys.js';

/** `typ` of allocation tokens; the secrets service takes no other. */
export const allocationTokenType = 'allocation+jwt';

/**
 * Makes commands as they go into the outbox: the exact bytes, and the signature over them. They are stored signed, so
 * that what is sent after a restart is what was decided.
 */
@Injectable()
export class CommandFactory {
  constructor(
    @Inject(SCHEDULER_SIGNING_KEY) private readonly key: SigningKey,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(RUNTIME_SETTINGS) private readonly settings: RuntimeSettings,
  ) {}

  /** Run this allocation. Every call makes a command of its own id, with a fresh expiry and token. */
  async start(allocation: PlacedAllocation): Promise<NewMessage> {
    const { policies } = allocation;
    return this.signed({
      verb: 'start',
      ...this.fields(allocation, allocation.changedBy),
      tenant: allocation.tenant,
      bot: allocation.bot,
      botGeneration: allocation.generation,
      runtime: allocation.runtime,
      version: allocation.version,
      parameters: allocation.parameters,
      resources: allocation.resources,
      server: allocation.server,
      login: allocation.login,
      stopGraceMs: policies.stopGraceMs,
      stageTimeoutMs: policies.stageTimeoutMs,
      restart: policies.restart,
      unhealthyAfterMs: policies.unhealthyAfterMs,
      token: await this.token(allocation),
    } satisfies StartCommand);
  }

  /** Stop this allocation; one the host does not have counts as stopped. */
  async stop(allocation: StoppingAllocation): Promise<NewMessage> {
    return this.signed({
      verb: 'stop',
      ...this.fields(allocation, allocation.actor),
      reason: allocation.stopReason,
      graceMs: allocation.graceMs,
    } satisfies StopCommand);
  }

  /** Make ready what the bot of this move will need; of no use once the scheduler has gone on without it. */
  async prepare(move: PreparingMove): Promise<NewMessage> {
    const now_ms = this.clock.wallMs();
    return this.signed({
      verb: 'prepare',
      id: newId(now_ms),
      host: move.to,
      account: move.account,
      move: move.id,
      tenant: move.tenant,
      bot: move.bot,
      runtime: move.runtime,
      version: move.version,
      resources: move.resources,
      actor: move.by,
      issuedAt: new Date(now_ms).toISOString(),
      expiresAt: move.prepareBy.toISOString(),
    } satisfies PrepareCommand);
  }

  private fields(
    { id, account, host, epoch }: { id: string; account: string; host: string; epoch: number },
    actor: string,
  ) {
    const now_ms = this.clock.wallMs();
    return {
      id: newId(now_ms),
      host,
      account,
      allocation: id,
      epoch,
      actor,
      issuedAt: new Date(now_ms).toISOString(),
      expiresAt: new Date(now_ms + this.settings.commandTtlMs).toISOString(),
    };
  }

  private async signed(command: Command): Promise<NewMessage> {
    const body = JSON.stringify(command);
    return {
      subject: subjects.command(command.host, command.verb),
      messageId: command.id,
      body,
      headers: { [signatureHeader]: await this.key.sign(Buffer.from(body, 'utf8')) },
      // What ends a bot goes before all that starts one: the kill switch does not stand in a queue.
      urgent: command.verb === 'stop',
      expiresAt: new Date(command.expiresAt),
    };
  }

  private async token(allocation: PlacedAllocation): Promise<string> {
    const issuedAt = new Date(this.clock.wallMs());
    const expiresAt = new Date(issuedAt.getTime() + this.settings.allocationTokenTtlMs);
    const claims = {
      iss: 'scheduler',
      aud: 'secrets',
      sub: allocation.id,
      host: allocation.host,
      account: allocation.account,
      tenant: allocation.tenant,
      epoch: allocation.epoch,
      runtime: allocation.runtime,
      server: allocation.server,
      login: allocation.login,
      cnf: { jwk: allocation.sealingKey },
    } satisfies Omit<AllocationToken, 'iat' | 'exp'>;
    return signToken(claims, { typ: allocationTokenType, issuedAt, expiresAt }, this.key);
  }
}
