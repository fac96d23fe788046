import 'reflect-metadata';
import { connectMessaging, SigningKey } from '#libs/messaging';
import { runProcess } from '#libs/process';
import { GatewaySettings } from './gateway.config.js';
import { createGateway } from './gateway.server.js';

await runProcess({
  service: 'gateway',
  config: GatewaySettings,
  start: async ({ config: settings, logger, signal }) => {
    const signingKey = await SigningKey.fromFile(settings.signingKeyPath, { create: true });
    const messaging = await connectMessaging({
      servers: settings.natsUrl,
      user: settings.natsUser,
      password: settings.natsPassword,
      name: 'gateway',
      logger,
      signal,
    });
    const app = await createGateway({ ...settings, signingKey }, messaging, logger);
    await app.listen(settings.port, '127.0.0.1');
    logger.info({ port: settings.port }, 'gateway ready');
    return { stop: async () => await app.close() };
  },
});
