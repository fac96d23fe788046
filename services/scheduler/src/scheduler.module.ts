import { Module, type DynamicModule } from '@nestjs/common';
import { ApiModule } from './api.module.js';
import { HealthModule } from './health/health.module.js';
import { PlatformModule, type Platform } from './platform.module.js';
import { RuntimeModule } from './runtime.module.js';

/** The whole scheduler: the API that writes what should run, and the runtime that makes it so. */
@Module({})
export class SchedulerModule {
  static forRoot(platform: Platform): DynamicModule {
    return {
      module: SchedulerModule,
      imports: [PlatformModule.forRoot(platform), ApiModule, RuntimeModule, HealthModule],
    };
  }
}
