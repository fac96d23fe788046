import { AccountEntity } from './account.entity.js';
import { AllocationEntity } from './allocation.entity.js';
import { BotEntity } from './bot.entity.js';
import { FenceEntity } from './fence.entity.js';
import { HostEntity } from './host.entity.js';
import { IdempotencyKeyEntity } from './idempotency-key.entity.js';
import { OperationTargetEntity } from './operation-target.entity.js';
import { OperationEntity } from './operation.entity.js';
import { TenantEntity } from './tenant.entity.js';

export * from './account.entity.js';
export * from './allocation.entity.js';
export * from './bot.entity.js';
export * from './fence.entity.js';
export * from './host.entity.js';
export * from './idempotency-key.entity.js';
export * from './operation-target.entity.js';
export * from './operation.entity.js';
export * from './tenant.entity.js';

/** Tables of the migration 0001. The outbox is libs/persistence's; leadership is its capability's own. */
export const entities = [
  TenantEntity,
  AccountEntity,
  FenceEntity,
  BotEntity,
  HostEntity,
  AllocationEntity,
  OperationEntity,
  OperationTargetEntity,
  IdempotencyKeyEntity,
];
