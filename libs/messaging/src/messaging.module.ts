import {
  Inject,
  Module,
  type DynamicModule,
  type InjectionToken,
  type ModuleMetadata,
  type OnApplicationShutdown,
  type OptionalFactoryDependency,
} from '@nestjs/common';
import type { ConnectOptions } from './connection.js';
import { connectMessaging, Messaging } from './messaging.js';

export interface MessagingAsyncOptions extends Pick<ModuleMetadata, 'imports'> {
  readonly inject?: (InjectionToken | OptionalFactoryDependency)[];
  // Nest calls it with whatever `inject` names.
  readonly useFactory: (...dependencies: never[]) => ConnectOptions | Promise<ConnectOptions>;
}

/** Provides `Messaging` everywhere and drains it as the last thing of a shutdown. */
@Module({})
export class MessagingModule implements OnApplicationShutdown {
  constructor(@Inject(Messaging) private readonly messaging: Messaging) {}

  static forRoot(messaging: Messaging): DynamicModule {
    return {
      module: MessagingModule,
      global: true,
      providers: [{ provide: Messaging, useValue: messaging }],
      exports: [Messaging],
    };
  }

  static forRootAsync({ imports, inject, useFactory }: MessagingAsyncOptions): DynamicModule {
    return {
      module: MessagingModule,
      global: true,
      ...(imports === undefined ? {} : { imports }),
      providers: [
        {
          provide: Messaging,
          ...(inject === undefined ? {} : { inject }),
          useFactory: async (...dependencies: never[]) => connectMessaging(await useFactory(...dependencies)),
        },
      ],
      exports: [Messaging],
    };
  }

  /** After the servers have closed: answers and acknowledgements are still to be sent. */
  async onApplicationShutdown(): Promise<void> {
    await this.messaging.drain();
  }
}
