import { z } from 'zod';
import { Actor, Generation, Name, PlainText, Timestamp } from '../names.js';
import { pageFields, writeFields } from '../reply.js';

/** A client of the operator; owns accounts and bots. */
export const Tenant = z
  .strictObject({
    name: Name,
    displayName: z.string().min(1).max(100),
    generation: Generation,
    createdAt: Timestamp,
    createdBy: Actor,
  })
  .meta({ id: 'Tenant' });
export type Tenant = z.infer<typeof Tenant>;

/** `displayName` defaults to the name. Errors: tenant_exists. */
export const TenantCreate = z
  .strictObject({ name: Name, displayName: PlainText(100).min(1).optional(), ...writeFields })
  .meta({ id: 'TenantCreate' });
export const TenantGet = z.strictObject({ name: Name }).meta({ id: 'TenantGet' });
export const TenantList = z.strictObject({ ...pageFields }).meta({ id: 'TenantList' });
export const TenantPage = z
  .strictObject({ tenants: z.array(Tenant), next: z.string().nullable() })
  .meta({ id: 'TenantPage' });
