import type { ApiParsed, ApiResponse, Tenant } from '#libs/contracts';
import { Injectable } from '@nestjs/common';
import type { TenantEntity } from '../database/entities/index.js';
import { refusal } from '../errors.js';
import type { Asker } from '../requests/asker.js';
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

  async get({ name }: ApiParsed<'tenants.get'>): Promise<Tenant> {
    return await this.read(name);
  }

  async list({ limit, after }: ApiParsed<'tenants.list'>): Promise<ApiResponse<'tenants.list'>> {
    const found = await this.tenants.page(after, limit + 1);
    const { rows, next } = pageOf(found.map(toTenant), limit, (tenant) => tenant.name);
    return { tenants: rows, next };
  }

  private async read(...[name, tx]: Parameters<TenantRepository['find']>): Promise<Tenant> {
    const row = await this.tenants.find(name, tx);
    if (row === null) throw refusal.tenantNotFound(name);
    return toTenant(row);
  }
}

const toTenant = ({ name, displayName, generation, createdAt, createdBy }: TenantEntity): Tenant => ({
  name,
  displayName,
  generation,
  createdAt: createdAt.toISOString(),
  createdBy,
});
