import 'reflect-metadata';
import { exitCodes, runProcess, type ProcessContext, type Running } from '#libs/process';
import { AgentConfig } from './agent.config.js';
import { startAgent } from './agent.process.js';
import { HostSuperseded, StartupFault, StateUnavailable } from './errors.js';

const version = '0.1.0';
/** Longer than the longest grace of a bot and the removal of its container. */
const shutdown_ms_max = 90_000;

await runProcess({
  service: 'agent',
  config: AgentConfig,
  logFields: ({ host }) => ({ host }),
  start,
  isConfigurationFault: (error) => error instanceof StartupFault,
  shutdownMsMax: shutdown_ms_max,
});

async function start(context: ProcessContext<AgentConfig>): Promise<Running> {
  const { logger, exit } = context;
  const superseded = (error: unknown): never => {
    logger.fatal({ err: error }, 'the agent was superseded');
    return exit(exitCodes.superseded);
  };
  try {
    const agent = await startAgent({ ...context, version });
    agent.superseded.then(superseded, superseded);
    return agent;
  } catch (error) {
    if (error instanceof HostSuperseded) return superseded(error);
    if (error instanceof StateUnavailable) {
      logger.fatal({ err: error }, 'the agent cannot use its state file now');
      return exit(exitCodes.again);
    }
    throw error;
  }
}
