import { Module, type DynamicModule, type InjectionToken } from '@nestjs/common';
import type { z } from 'zod';
import { loadConfig, type LoadOptions } from './load-config.js';

/** Prefix of every variable of this project. */
export const configPrefix = 'TRADEFLEET_';

/** Provides the configuration of a service everywhere, under its token. Loading it fails the start. */
@Module({})
export class ConfigModule {
  static forRoot(
    token: InjectionToken,
    schema: z.ZodObject,
    options: LoadOptions = { prefix: configPrefix },
  ): DynamicModule {
    return {
      module: ConfigModule,
      global: true,
      providers: [{ provide: token, useFactory: () => loadConfig(schema, options) }],
      exports: [token],
    };
  }
}
