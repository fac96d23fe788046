import { Module } from '@nestjs/common';
import { AccountsModule } from './accounts/accounts.module.js';
import { BotsModule } from './bots/bots.module.js';
import { FleetModule } from './fleet/fleet.module.js';
import { HostsModule } from './hosts/hosts.module.js';
import { MovesModule } from './moves/moves.module.js';
import { OperationsModule } from './operations/operations.module.js';
import { RequestsModule } from './requests/requests.module.js';
import { RolloutsModule } from './rollouts/rollouts.module.js';
import { SeamsModule } from './seams.module.js';
import { TenantsModule } from './tenants/tenants.module.js';

/** Everything a client can ask of the scheduler. Needs PlatformModule; runs without RuntimeModule. */
@Module({
  imports: [
    SeamsModule,
    RequestsModule,
    OperationsModule,
    TenantsModule,
    AccountsModule,
    BotsModule,
    HostsModule,
    MovesModule,
    FleetModule,
    RolloutsModule,
  ],
})
export class ApiModule {}
