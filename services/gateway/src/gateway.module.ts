import { type DynamicModule, Module } from '@nestjs/common';
import { APP_FILTER, APP_GUARD } from '@nestjs/core';
import { CLOCK, SystemClock } from '#libs/clock';
import { type Messaging, MessagingModule } from '#libs/messaging';
import { type Logger, TelemetryModule } from '#libs/telemetry';
import { apiControllers } from './api/api.controllers.js';
import { ApiForwarder } from './api/api.forwarder.js';
import { AdminTokenGuard } from './auth/admin-token.guard.js';
import { SessionEvents } from './auth/session.events.js';
import { CredentialsController } from './credentials/credentials.controller.js';
import { ProblemFilter } from './errors.js';
import { EventStreamController } from './events/event-stream.controller.js';
import { EventStreams } from './events/event.streams.js';
import { EventExportController } from './exports/event-export.controller.js';
import { EventExports } from './exports/event.exports.js';
import { GATEWAY_CONFIG, type GatewayConfig } from './gateway.config.js';
import { HealthController } from './health/health.controller.js';
import { LogsController } from './logs/logs.controller.js';
import { RequestRefusals } from './refusals/request.refusals.js';
import { spoolProviders } from './spool/spool.providers.js';

@Module({})
export class GatewayModule {
  static forRoot(config: GatewayConfig, messaging: Messaging, logger: Logger): DynamicModule {
    return {
      module: GatewayModule,
      imports: [TelemetryModule.forRoot({ logger }), MessagingModule.forRoot(messaging)],
      controllers: [
        HealthController,
        EventStreamController,
        EventExportController,
        CredentialsController,
        LogsController,
        ...apiControllers(),
      ],
      providers: [
        { provide: GATEWAY_CONFIG, useValue: config },
        { provide: CLOCK, useClass: SystemClock },
        { provide: APP_GUARD, useClass: AdminTokenGuard },
        { provide: APP_FILTER, useClass: ProblemFilter },
        ApiForwarder,
        ...spoolProviders,
        SessionEvents,
        RequestRefusals,
        EventStreams,
        EventExports,
      ],
    };
  }
}
