import type { ApiParsed, ApiResponse, Tenant } from '#libs/contracts';
import { Injectable } from '@nestjs/common';
import { refusal } from '../errors.js';
import type { Asker } from '../requests/asker.js';
import { sameJson } from '../requests/canonical-json.js';
import { ChangesService } from '../requests/changes.service.js';
import { pageOf } from '../requests/page.js';
import { TenantRepository } from './tenant.repository.js';

@Injectable()
export class TenantsService {
  constructor(
    private readonly changes: ChangesService,
    private readonly tenants: TenantRepository,
  ) {}

  async create(request: ApiParsed<'tenants.create'>, asker: Asker): Promise<Tenant> {
    const { name, displayName = name } = request;
    return await this.changes.carryOut('tenants.create', request, asker, async (change) => {
      const made = await this.tenants.insert(change.tx, { name, displayName, by: change.actor });
      if (!made) throw refusal.tenantExists(name);
      await change.event('tradefleet.tenant.created', name, { tenant: name, generation: 1 });
      return await this.read(name, change.tx);
    });
  }

  /** An update that changes nothing is accepted and changes nothing. What runs above a lowered quota runs on. */
  async update(request: ApiParsed<'tenants.update'>, asker: Asker): Promise<Tenant> {
    const { name, expectedGeneration, displayName, quotas = {}, priority } = request;
    return await this.changes.carryOut('tenants.update', request, asker, async (change) => {
      if (!(await this.tenants.hold(change.tx, name))) throw refusal.tenantNotFound(name);
      const now = await this.read(name, change.tx);
      if (expectedGeneration !== undefined && expectedGeneration !== now.generation)
        throw refusal.staleGeneration('tenant', name, expectedGeneration, now.generation);
      const before = { displayName: now.displayName, quotas: now.quotas, priority: now.priority };
      const after = {
        displayName: displayName ?? now.displayName,
        quotas: {
          bots: quotas.bots === undefined ? now.quotas.bots : quotas.bots,
          cpuMillis: quotas.cpuMillis === undefined ? now.quotas.cpuMillis : quotas.cpuMillis,
          memoryMiB: quotas.memoryMiB === undefined ? now.quotas.memoryMiB : quotas.memoryMiB,
        },
        priority: priority ?? now.priority,
      };
      if (sameJson(before, after)) return now;
      await this.tenants.change(change.tx, name, after);
      await change.event('tradefleet.tenant.updated', name, {
        tenant: name,
        generation: now.generation + 1,
        quotas: after.quotas,
        priority: after.priority,
      });
      return await this.read(name, change.tx);
    });
  }

  async get({ name }: ApiParsed<'tenants.get'>): Promise<Tenant> {
    return await this.read(name);
  }

  async list({ limit, after }: ApiParsed<'tenants.list'>): Promise<ApiResponse<'tenants.list'>> {
    const found = await this.tenants.page(after, limit + 1);
    const { rows, next } = pageOf(found, limit, (tenant) => tenant.name);
    return { tenants: rows, next };
  }

  private async read(...[name, tx]: Parameters<TenantRepository['find']>): Promise<Tenant> {
    const tenant = await this.tenants.find(name, tx);
    if (tenant === null) throw refusal.tenantNotFound(name);
    return tenant;
  }
}
