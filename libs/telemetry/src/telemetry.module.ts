import { Module, type DynamicModule } from '@nestjs/common';
import { createLogger, LOGGER, type Logger, type LoggerOptions } from './logger.js';

/** Provides `LOGGER` everywhere: the one given, or a new one. */
@Module({})
export class TelemetryModule {
  static forRoot(options: LoggerOptions | { readonly logger: Logger }): DynamicModule {
    const logger = 'logger' in options ? options.logger : createLogger(options);
    return {
      module: TelemetryModule,
      global: true,
      providers: [{ provide: LOGGER, useValue: logger }],
      exports: [LOGGER],
    };
  }
}
