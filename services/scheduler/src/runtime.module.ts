import { Global, Module } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { LOGGER, type Logger } from '#libs/telemetry';
import { AllocationAdvanceRepository } from './allocations/allocation-advance.repository.js';
import { AllocationCheckController } from './allocations/allocation-check.controller.js';
import { AllocationRepository } from './allocations/allocation.repository.js';
import { AllocationService } from './allocations/allocation.service.js';
import { BotQueueRepository } from './allocations/bot-queue.repository.js';
import { HostLossRepository } from './allocations/host-loss.repository.js';
import { ResendRepository } from './allocations/resend.repository.js';
import { BrokerUpkeep } from './broker/broker.upkeep.js';
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
import { AdvisoryLockLeadership } from './leadership/advisory-lock.leadership.js';
import { LeaderTransaction } from './leadership/leader-transaction.repository.js';
import { LEADERSHIP } from './leadership/leadership.js';
import { OperationsModule } from './operations/operations.module.js';
import { AllocationProjectionController } from './projection/allocation-projection.controller.js';
import { AllocationProjectionService } from './projection/allocation-projection.service.js';
import { DeleteReconciler } from './reconciliation/delete.reconciler.js';
import { DrainReconciler } from './reconciliation/drain.reconciler.js';
import { FleetReader } from './reconciliation/fleet.reader.js';
import { HostLostReconciler } from './reconciliation/host-lost.reconciler.js';
import { PlacementReconciler } from './reconciliation/placement.reconciler.js';
import { ReconcilerLoop } from './reconciliation/reconciler.loop.js';
import { ReconcilerRegistry } from './reconciliation/reconciler.registry.js';
import { ReconciliationRepository } from './reconciliation/reconciliation.repository.js';
import { ReplaceReconciler } from './reconciliation/replace.reconciler.js';
import { ResendReconciler } from './reconciliation/resend.reconciler.js';
import { StopReconciler } from './reconciliation/stop.reconciler.js';
import { LEADERSHIP_DATABASE, type LeadershipDatabase } from './runtime.settings.js';
import { SchedulerRuntime } from './scheduler.runtime.js';

const reconcilers = [
  HostLostReconciler,
  StopReconciler,
  ReplaceReconciler,
  DeleteReconciler,
  PlacementReconciler,
  DrainReconciler,
  ResendReconciler,
];

/**
 * What makes the fleet as it should be: leases, reconciliation, projection. Serves nothing and does nothing before
 * `LEADERSHIP.lead` and `SchedulerRuntime.start`.
 */
@Global()
@Module({
  imports: [OperationsModule],
  controllers: [HeartbeatController, AllocationCheckController, AllocationProjectionController],
  providers: [
    {
      provide: LEADERSHIP,
      inject: [LEADERSHIP_DATABASE, CLOCK, LOGGER],
      useFactory: (database: LeadershipDatabase, clock: Clock, logger: Logger) =>
        new AdvisoryLockLeadership(database, clock, logger),
    },
    LeaderTransaction,
    AllocationRepository,
    AllocationAdvanceRepository,
    BotQueueRepository,
    HostLossRepository,
    ResendRepository,
    AllocationService,
    BrokerUpkeep,
    CommandFactory,
    HeartbeatRepository,
    HostRegistrationRepository,
    HostDirectory,
    LeaseTable,
    RejectionLog,
    RegistrationService,
    AdvancePatience,
    HeartbeatService,
    AllocationProjectionService,
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
