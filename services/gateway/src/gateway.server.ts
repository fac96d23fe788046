import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { limits } from '#libs/contracts';
import type { Messaging } from '#libs/messaging';
import { type Logger, NestPinoLogger } from '#libs/telemetry';
import type { GatewayConfig } from './gateway.config.js';
import { GatewayModule } from './gateway.module.js';
import { openApiDocument } from './openapi/openapi.document.js';

const request_ms_max = 60_000;

/** The HTTP server, not yet listening. */
export async function createGateway(
  config: GatewayConfig,
  messaging: Messaging,
  logger: Logger,
): Promise<NestFastifyApplication> {
  const adapter = new FastifyAdapter({
    bodyLimit: limits.message_bytes_max,
    requestTimeout: request_ms_max,
    // A close must not wait for clients that keep their connection.
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 100 },
  });
  const app = await NestFactory.create<NestFastifyApplication>(
    GatewayModule.forRoot(config, messaging, logger),
    adapter,
    // A fault at the start is told by main, not swallowed by an exit.
    { logger: new NestPinoLogger(logger), abortOnError: false },
  );
  // Made when somebody looks: it is large, and most processes never show it.
  SwaggerModule.setup('api/docs', app, () => openApiDocument() as unknown as OpenAPIObject, {
    customSiteTitle: 'Tradefleet API',
  });
  return app;
}
