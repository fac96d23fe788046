import 'reflect-metadata';
import { runProcess } from '#libs/process';
import { AgentConfig } from './agent.config.js';
import { startAgent } from './agent.process.js';
import { StartupFault } from './errors.js';

const version = '0.1.0';
/** Longer than the longest grace of a bot and the removal of its container. */
const shutdown_ms_max = 90_000;

await runProcess({
  service: 'agent',
  config: AgentConfig,
  logFields: ({ host }) => ({ host }),
  start: async (context) => await startAgent({ ...context, version }),
  isConfigurationFault: (error) => error instanceof StartupFault,
  shutdownMsMax: shutdown_ms_max,
});
