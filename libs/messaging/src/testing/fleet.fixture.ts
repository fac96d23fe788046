import { NestFactory } from '@nestjs/core';
import { Module, type INestMicroservice, type Type } from '@nestjs/common';
import type { CustomTransportStrategy } from '@nestjs/microservices';
import { createLogger, NestPinoLogger, type Logger } from '#libs/telemetry';
import type { TestNats } from '#libs/testing';
import { connectMessaging, type Messaging } from '../messaging.js';
import type { ConnectOptions } from '../connection.js';

/** A logger whose lines a test can read. */
export function recordingLogger(): { logger: Logger; lines: Record<string, unknown>[]; text: () => string } {
  const lines: Record<string, unknown>[] = [];
  let text = '';
  const logger = createLogger({
    service: 'test',
    level: 'trace',
    destination: {
      write(line: string) {
        text += line;
        lines.push(JSON.parse(line) as Record<string, unknown>);
      },
    },
  });
  return { logger, lines, text: () => text };
}

/** A connection to the test's server; drain it. */
export async function connected(nats: TestNats, options: Partial<ConnectOptions> = {}): Promise<Messaging> {
  return connectMessaging({
    servers: nats.url,
    name: 'test',
    logger: recordingLogger().logger,
    firstConnectMs: 10_000,
    ...options,
  });
}

/** An application with one strategy and these controllers, listening; close it. */
export async function serve(
  controllers: Type[],
  strategy: CustomTransportStrategy,
  logger: Logger = recordingLogger().logger,
): Promise<INestMicroservice> {
  @Module({ controllers })
  class TestModule {}
  const app = await NestFactory.createMicroservice(TestModule, {
    strategy,
    logger: new NestPinoLogger(logger),
  });
  await app.listen();
  return app;
}

/** A promise and the function that resolves it. */
export function signal<T = void>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
