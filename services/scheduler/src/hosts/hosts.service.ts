import { Labels, type ApiParsed, type ApiResponse, type Host } from '#libs/contracts';
import { Injectable } from '@nestjs/common';
import { refusal } from '../errors.js';
import { ObservationStore } from '../heartbeats/observation.store.js';
import { OperationTracker } from '../operations/operation.tracker.js';
import type { Asker } from '../requests/asker.js';
import type { Change } from '../requests/change.js';
import { sameJson } from '../requests/canonical-json.js';
import { ChangesService } from '../requests/changes.service.js';
import { pageOf } from '../requests/page.js';
import { HostRepository } from './host.repository.js';

@Injectable()
export class HostsService {
  constructor(
    private readonly changes: ChangesService,
    private readonly hosts: HostRepository,
    private readonly operations: OperationTracker,
    private readonly observations: ObservationStore,
  ) {}

  async get({ name }: ApiParsed<'hosts.get'>): Promise<Host> {
    return await this.read(name);
  }

  async list({ limit, after }: ApiParsed<'hosts.list'>): Promise<ApiResponse<'hosts.list'>> {
    const found = await this.hosts.page(after, limit + 1);
    const { rows, next } = pageOf(
      found.map((host) => this.withHeartbeat(host)),
      limit,
      (host) => host.name,
    );
    return { hosts: rows, next };
  }

  /** The reconciler moves what lives there; an operation of kind `hosts.drain` tells when all of it is gone. */
  async drain(request: ApiParsed<'hosts.drain'>, asker: Asker): Promise<Host> {
    return await this.changes.carryOut('hosts.drain', request, asker, async (change) => {
      const { name, incarnation, state } = await this.hold(change, request);
      const { reason, deadlineMs, onDeadline, prepare, parallel } = request;
      if (state !== 'ready') throw refusal.hostNotReady(name, state);
      const bots = await this.hosts.botsOn(change.tx, name);
      const asked = { reason, by: change.actor, deadlineMs, onDeadline, prepare, parallel };
      await this.hosts.drain(change.tx, name, { ...asked, total: bots.length });
      await change.event('tradefleet.host.draining', name, { host: name, incarnation, reason });
      const targets = bots.map((bot) => ({ ...bot, goal: 'moved' as const, host: name }));
      await this.operations.begin(change.tx, change.asker, 'hosts.drain', targets);
      return await this.read(name, change);
    });
  }

  async ready(request: ApiParsed<'hosts.ready'>, asker: Asker): Promise<Host> {
    return await this.changes.carryOut('hosts.ready', request, asker, async (change) => {
      const { name, incarnation, drain } = await this.hold(change, request);
      if (drain === null) throw refusal.hostNotDraining(name);
      await this.hosts.endDrain(change.tx, name);
      await change.event('tradefleet.host.ready', name, { host: name, incarnation, reason: 'drain ended' });
      const host = await this.read(name, change);
      const bots = await this.hosts.botsOn(change.tx, name);
      await this.operations.botsChanged(
        change.tx,
        bots.map(({ bot }) => bot),
      );
      return host;
    });
  }

  /** An operator's labels win over those of the agent, which come to light again when they are taken away. */
  async label(request: ApiParsed<'hosts.label'>, asker: Asker): Promise<Host> {
    const { set, unset } = request;
    return await this.changes.carryOut('hosts.label', request, asker, async (change) => {
      const { name, incarnation, operatorLabels } = await this.hold(change, request);
      const kept = Object.entries(operatorLabels).filter(([label]) => !unset.includes(label));
      const labels = Labels.safeParse({ ...Object.fromEntries(kept), ...set });
      if (!labels.success)
        throw refusal.invalid([{ path: 'set', message: 'an operator may give a host at most 32 labels' }]);
      if (!sameJson(labels.data, operatorLabels)) {
        await this.hosts.label(change.tx, name, labels.data);
        const data = { host: name, incarnation, reason: null, set, unset };
        await change.event('tradefleet.host.labelled', name, data);
      }
      return await this.read(name, change);
    });
  }

  private async hold(
    change: Change,
    { name, expectedGeneration }: { name: string; expectedGeneration?: number | undefined },
  ): Promise<Host> {
    if (!(await this.hosts.hold(change.tx, name))) throw refusal.hostNotFound(name);
    const host = await this.read(name, change);
    if (expectedGeneration !== undefined && expectedGeneration !== host.generation) {
      throw refusal.staleGeneration('host', name, expectedGeneration, host.generation);
    }
    return host;
  }

  private async read(name: string, change?: Change): Promise<Host> {
    const host = await this.hosts.find(name, change?.tx);
    if (host === null) throw refusal.hostNotFound(name);
    return this.withHeartbeat(host);
  }

  /** The database has the time of the last heartbeat to the minute; the leader has it exactly. */
  private withHeartbeat(host: Host): Host {
    const heard = this.observations.lastHeartbeatAt(host.name)?.toISOString();
    const known = host.lastHeartbeatAt;
    return heard === undefined || (known !== null && known > heard)
      ? host
      : { ...host, lastHeartbeatAt: heard };
  }
}
