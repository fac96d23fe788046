import { Global, Module } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { LOGGER, type Logger } from '#libs/telemetry';
import { BotRepository } from './bots/bot.repository.js';
import { AllocationAdvanceRepository } from './allocations/allocation-advance.repository.js';
import { AllocationCheckController } from './allocations/allocation-check.controller.js';
import { AllocationRepository } from './allocations/allocation.repository.js';
import { AllocationService } from './allocations/allocation.service.js';
import { BotQueueRepository } from './allocations/bot-queue.repository.js';
import { HostLossRepository } from './allocations/host-loss.repository.js';
import { HostRoomRepository } from './allocations/host-room.repository.js';
import { ResendRepository } from './allocations/resend.repository.js';
import { RetryRepository } from './allocations/retry.repository.js';
import { BrokerUpkeep } from './broker/broker.upkeep.js';
import { StrayConsumers } from './broker/stray-consumers.service.js';
import { CommandFactory } from './commands/command.factory.js';
import { HeartbeatController } from './heartbeats/heartbeat.controller.js';
import { HeartbeatRepository } from './heartbeats/heartbeat.repository.js';
import { AdvancePatience } from './heartbeats/advance.patience.js';
import { HeartbeatService } from './heartbeats/heartbeat.service.js';
import { HostRegistrationRepository } from './heartbeats/host-registration.repository.js';
import { HostDirectory } from './heartbeats/host.directory.js';
import { LeaseTable } from './heartbeats/lease.table.js';
import { RegistrationService } from './heartbeats/registration.service.js';
import { RejectionLog } from './heartbeats/rejection.log.js';
import { Messaging } from '#libs/messaging';
import { LeaderLease } from './leadership/leader-lease.js';
import { LeaderRowRepository } from './leadership/leader-row.repository.js';
import { HostUpkeepRepository } from './hosts/host-upkeep.repository.js';
import { OvercommitmentReconciler } from './hosts/overcommitment.reconciler.js';
import { PruningReconciler } from './pruning/pruning.reconciler.js';
import { PruningRepository } from './pruning/pruning.repository.js';
import { JoinAdmission } from './hosts/join-admission.js';
import { JoinTokenRepository } from './hosts/join-token.repository.js';
import { LeaderTransaction } from './leadership/leader-transaction.repository.js';
import { LEADERSHIP } from './leadership/leadership.js';
import { RestoreRecovery } from './leadership/restore.recovery.js';
import { RestoreRepository } from './leadership/restore.repository.js';
import { DrainRepository } from './moves/drain.repository.js';
import { DrainService } from './moves/drain.service.js';
import { MoveReconciler } from './moves/move.reconciler.js';
import { MoveRepository } from './moves/move.repository.js';
import { MovePlanning } from './moves/move-planning.service.js';
import { MoveService } from './moves/move.service.js';
import { PreparationProjectionController } from './moves/preparation-projection.controller.js';
import { PreparationProjectionService } from './moves/preparation-projection.service.js';
import { OperationsModule } from './operations/operations.module.js';
import { AllocationProjectionController } from './projection/allocation-projection.controller.js';
import { AllocationProjectionService } from './projection/allocation-projection.service.js';
import { DeleteReconciler } from './reconciliation/delete.reconciler.js';
import { FleetReader } from './reconciliation/fleet.reader.js';
import { HostLostReconciler } from './reconciliation/host-lost.reconciler.js';
import { PlacementReconciler } from './reconciliation/placement.reconciler.js';
import { ReconcilerLoop } from './reconciliation/reconciler.loop.js';
import { ReconcilerRegistry } from './reconciliation/reconciler.registry.js';
import { ReconciliationRepository } from './reconciliation/reconciliation.repository.js';
import { ReplaceReconciler } from './reconciliation/replace.reconciler.js';
import { ResendReconciler } from './reconciliation/resend.reconciler.js';
import { RolloutReconciler } from './rollouts/rollout.reconciler.js';
import { RolloutRepository } from './rollouts/rollout.repository.js';
import { RolloutTransitions } from './rollouts/rollout.transitions.js';
import { StopReconciler } from './reconciliation/stop.reconciler.js';
import {
  LEADERSHIP_DATABASE,
  RUNTIME_SETTINGS,
  type LeadershipDatabase,
  type RuntimeSettings,
} from './runtime.settings.js';
import { SchedulerRuntime } from './scheduler.runtime.js';
import { QuotaRepository } from './tenants/quota.repository.js';

const reconcilers = [
  HostLostReconciler,
  StopReconciler,
  RolloutReconciler,
  ReplaceReconciler,
  DeleteReconciler,
  PlacementReconciler,
  MoveReconciler,
  ResendReconciler,
  OvercommitmentReconciler,
  PruningReconciler,
];

function leaderLease(
  { connectionString, holder }: LeadershipDatabase,
  settings: RuntimeSettings,
  messaging: Messaging,
  clock: Clock,
  logger: Logger,
): LeaderLease {
  // Two calls that hang still leave a lease to a third.
  const callMs = Math.floor((settings.leaderLeaseMs - settings.leaderRenewMs) / 2);
  const row = new LeaderRowRepository({ connectionString, callMs, clock, logger });
  const isAble = (): boolean => messaging.isConnected();
  return new LeaderLease({ row, holder, settings, clock, logger, isAble });
}

/**
 * What makes the fleet as it should be: leases, reconciliation, projection. Serves nothing and does nothing before
 * `LEADERSHIP.lead` and `SchedulerRuntime.start`.
 */
@Global()
@Module({
  imports: [OperationsModule],
  controllers: [
    HeartbeatController,
    AllocationCheckController,
    AllocationProjectionController,
    PreparationProjectionController,
  ],
  providers: [
    {
      provide: LEADERSHIP,
      inject: [LEADERSHIP_DATABASE, RUNTIME_SETTINGS, Messaging, CLOCK, LOGGER],
      useFactory: leaderLease,
    },
    LeaderTransaction,
    RestoreRepository,
    RestoreRecovery,
    HostRoomRepository,
    AllocationRepository,
    AllocationAdvanceRepository,
    RetryRepository,
    BotQueueRepository,
    HostLossRepository,
    ResendRepository,
    AllocationService,
    StrayConsumers,
    BrokerUpkeep,
    CommandFactory,
    HeartbeatRepository,
    HostRegistrationRepository,
    HostDirectory,
    LeaseTable,
    RejectionLog,
    JoinTokenRepository,
    JoinAdmission,
    HostUpkeepRepository,
    PruningRepository,
    RegistrationService,
    AdvancePatience,
    HeartbeatService,
    AllocationProjectionService,
    PreparationProjectionService,
    MoveRepository,
    MovePlanning,
    MoveService,
    DrainRepository,
    DrainService,
    BotRepository,
    QuotaRepository,
    RolloutRepository,
    RolloutTransitions,
    ReconciliationRepository,
    FleetReader,
    ...reconcilers,
    ReconcilerRegistry,
    ReconcilerLoop,
    SchedulerRuntime,
  ],
  exports: [LEADERSHIP, SchedulerRuntime, ReconcilerLoop],
})
export class RuntimeModule {}
