import { z } from 'zod';
import { BrokerLogin, BrokerServer } from '../account/account.schema.js';
import { Constraint, Parameters, Policies, Resources } from '../bot/bot.schema.js';
import { Id, Name, PlainText, Timestamp } from '../names.js';
import { writeFields } from '../reply.js';
import { RuntimeName, RuntimeVersion } from '../runtime/runtime.catalogue.js';

/** One bot of a manifest; what is left out has the default of `bots.create`. */
export const ManifestBot = z
  .strictObject({
    name: Name,
    account: Name,
    runtime: RuntimeName,
    /** Left out: a bot that is there keeps the version it has, so that rollouts are not undone; a new one gets null. */
    version: RuntimeVersion.nullable().optional(),
    parameters: Parameters.default({}),
    resources: Resources.partial().default({}),
    constraints: z.array(Constraint).max(10).default([]),
    policies: Policies.prefault({}),
    desired: z.enum(['running', 'stopped']).default('running'),
  })
  .meta({ id: 'ManifestBot' });

/** One tenant with all it owns. Holds no credentials: those are set one account at a time. */
export const ManifestTenant = z
  .strictObject({
    name: Name,
    displayName: PlainText(100).min(1).optional(),
    accounts: z
      .array(z.strictObject({ name: Name, server: BrokerServer, login: BrokerLogin }))
      .max(1000)
      .default([]),
    bots: z.array(ManifestBot).max(1000).default([]),
  })
  .meta({ id: 'ManifestTenant' });

/** What the fleet should be. With `prune`, bots of the named tenants that it does not name are deleted. */
export const Manifest = z
  .strictObject({
    apiVersion: z.literal('tradefleet/v1'),
    prune: z.boolean().default(false),
    tenants: z.array(ManifestTenant).min(1).max(200),
  })
  .meta({ id: 'Manifest' });
export type Manifest = z.infer<typeof Manifest>;

export const PlanChange = z
  .strictObject({
    action: z.enum(['create', 'update', 'delete']),
    entity: z.enum(['tenant', 'account', 'bot']),
    name: Name,
    /** Changed fields as dotted paths, values before and after. */
    fields: z.array(z.strictObject({ path: z.string(), from: z.unknown(), to: z.unknown() })),
    /** Whether a running bot is replaced. */
    restarts: z.boolean(),
  })
  .meta({ id: 'PlanChange' });
export type PlanChange = z.infer<typeof PlanChange>;

export const FleetPlan = z.strictObject({ manifest: Manifest }).meta({ id: 'FleetPlan' });
/** `version` covers the manifest and every entity it was compared with. */
export const FleetPlanned = z
  .strictObject({
    version: z.string().regex(/^[0-9a-f]{64}$/),
    changes: z.array(PlanChange),
    unchanged: z.int().min(0),
  })
  .meta({ id: 'FleetPlanned' });
export type FleetPlanned = z.infer<typeof FleetPlanned>;

/** Carries out a plan, all in one transaction. Errors: stale_plan, and those of the single changes. */
export const FleetApply = z
  .strictObject({ manifest: Manifest, version: z.string().regex(/^[0-9a-f]{64}$/), ...writeFields })
  .meta({ id: 'FleetApply' });
export const FleetApplied = z
  .strictObject({ operation: Id, changes: z.array(PlanChange) })
  .meta({ id: 'FleetApplied' });

export const LeaderGet = z.strictObject({}).meta({ id: 'LeaderGet' });
/** The scheduler that leads: the one that answers. */
export const Leader = z
  .strictObject({
    /** Grows with every taking over. */
    term: z.int().min(1),
    /** `<instance>/<process id>/<made up at its start>` */
    holder: z.string().min(1).max(200),
    since: Timestamp,
    /** When it last renewed its lease, by the clock of the database. */
    renewedAt: Timestamp,
  })
  .meta({ id: 'Leader' });
export type Leader = z.infer<typeof Leader>;
