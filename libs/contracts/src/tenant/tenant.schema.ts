import { z } from 'zod';
import { Actor, Generation, Name, PlainText, Timestamp } from '../names.js';
import { pageFields, writeFields } from '../reply.js';

const quotaFields = {
  /** Bots that should run. */
  bots: z.int().min(0).max(1_000_000).nullable(),
  /** What these ask for together. */
  cpuMillis: z.int().min(0).max(2_000_000_000).nullable(),
  memoryMiB: z.int().min(0).max(2_000_000_000).nullable(),
};
/** How much a tenant may want to run at once; null is without a bound. */
export const Quotas = z.strictObject(quotaFields).meta({ id: 'Quotas' });
export type Quotas = z.infer<typeof Quotas>;

/** Who goes first while bots wait for room: 0 last, 100 first. */
export const Priority = z.int().min(0).max(100).meta({ id: 'Priority' });

/** A client of the operator; owns accounts and bots. */
export const Tenant = z
  .strictObject({
    name: Name,
    displayName: z.string().min(1).max(100),
    quotas: Quotas,
    /** Of its bots' quotas: all bots whose desired state is running, whether they run, wait or are locked. */
    used: z.strictObject({ bots: z.int(), cpuMillis: z.int(), memoryMiB: z.int() }),
    /** Added to the priority of each of its bots. */
    priority: Priority,
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
/**
 * Changes what is named. A quota below what is used stops nothing, but nothing more is started until there is room.
 * Errors: tenant_not_found, stale_generation.
 */
export const TenantUpdate = z
  .strictObject({
    name: Name,
    expectedGeneration: Generation.optional(),
    displayName: PlainText(100).min(1).optional(),
    quotas: z.strictObject(quotaFields).partial().optional(),
    priority: Priority.optional(),
    ...writeFields,
  })
  .meta({ id: 'TenantUpdate' });
export const TenantGet = z.strictObject({ name: Name }).meta({ id: 'TenantGet' });
export const TenantList = z.strictObject({ ...pageFields }).meta({ id: 'TenantList' });
export const TenantPage = z
  .strictObject({ tenants: z.array(Tenant), next: z.string().nullable() })
  .meta({ id: 'TenantPage' });
