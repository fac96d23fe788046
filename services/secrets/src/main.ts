import 'reflect-metadata';
import { runProcess } from '#libs/process';
import { SecretsConfig } from './secrets.config.js';
import { startSecrets } from './secrets.process.js';

await runProcess({
  service: 'secrets',
  config: SecretsConfig,
  start: async (context) => {
    const app = await startSecrets(context);
    return { stop: async () => await app.close() };
  },
});
