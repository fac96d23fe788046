import { Module } from '@nestjs/common';
import { HostRoomRepository } from '../allocations/host-room.repository.js';
import { OperationsModule } from '../operations/operations.module.js';
import { ReconciliationRepository } from '../reconciliation/reconciliation.repository.js';
import { RequestsModule } from '../requests/requests.module.js';
import { MoveListRepository } from './move-list.repository.js';
import { MovePlanning } from './move-planning.service.js';
import { MoveRepository } from './move.repository.js';
import { MovesController } from './moves.controller.js';
import { MovesService } from './moves.service.js';
import { RebalanceRepository } from './rebalance.repository.js';
import { RebalanceService } from './rebalance.service.js';

/** What clients ask about moves, and for; `MoveReconciler` carries them out. */
@Module({
  imports: [RequestsModule, OperationsModule],
  controllers: [MovesController],
  providers: [
    HostRoomRepository,
    MoveListRepository,
    MovePlanning,
    MoveRepository,
    MovesService,
    ReconciliationRepository,
    RebalanceRepository,
    RebalanceService,
  ],
})
export class MovesModule {}
