import { SystemClock, type Clock } from '#libs/clock';
import {
  Inject,
  Module,
  type DynamicModule,
  type FactoryProvider,
  type ModuleMetadata,
  type OnApplicationShutdown,
} from '@nestjs/common';
import { DataSource } from 'typeorm';
import { createDataSource, type DatabaseOptions } from './data-source.js';
import { TransactionRunner } from './transaction.js';

export interface PersistenceModuleOptions {
  readonly imports?: ModuleMetadata['imports'];
  readonly inject?: FactoryProvider['inject'];
  /** Gets what `inject` names. */
  readonly useFactory: (...injected: never[]) => DatabaseOptions | Promise<DatabaseOptions>;
  readonly clock?: Clock;
}

const connect_attempts_max = 20;
const connect_pause_ms_max = 2000;

/** Provides the service's `DataSource` (connected) and `TransactionRunner` everywhere; closes the pool last. */
@Module({})
export class PersistenceModule implements OnApplicationShutdown {
  constructor(@Inject(DataSource) private readonly dataSource: DataSource) {}

  static forRootAsync({
    imports = [],
    inject = [],
    useFactory,
    clock = new SystemClock(),
  }: PersistenceModuleOptions): DynamicModule {
    const options = useFactory as (...injected: unknown[]) => DatabaseOptions | Promise<DatabaseOptions>;
    return {
      module: PersistenceModule,
      global: true,
      imports,
      providers: [
        {
          provide: DataSource,
          inject,
          useFactory: async (...injected: unknown[]) =>
            await connectDataSource(await options(...injected), clock),
        },
        {
          provide: TransactionRunner,
          inject: [DataSource],
          useFactory: (dataSource: DataSource) => new TransactionRunner(dataSource, clock),
        },
      ],
      exports: [DataSource, TransactionRunner],
    };
  }

  /** After every server has drained: handlers use the pool to their end. */
  async onApplicationShutdown(): Promise<void> {
    if (this.dataSource.isInitialized) await this.dataSource.destroy();
  }
}

/** Connects; a database that is still coming up is waited for, about half a minute. */
export async function connectDataSource(
  options: DatabaseOptions,
  clock: Clock = new SystemClock(),
): Promise<DataSource> {
  const dataSource = createDataSource(options);
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await dataSource.initialize();
    } catch (error) {
      if (attempt === connect_attempts_max || !isNotUpYet(error)) throw error;
      await clock.sleep(Math.min(50 * 2 ** attempt, connect_pause_ms_max));
    }
  }
}

/** Nothing listens yet, or the server starts up or recovers (57P03). A wrong password is not going to get right. */
function isNotUpYet(error: unknown): boolean {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  return ['ECONNREFUSED', 'ECONNRESET', 'ENOENT', '57P03'].includes(String(code));
}
