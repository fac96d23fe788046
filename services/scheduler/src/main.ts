import { exitCodes, runProcess } from '#libs/process';
import { SchedulerConfig } from './scheduler.config.js';
import { startScheduler } from './scheduler.process.js';

await runProcess({
  service: 'scheduler',
  config: SchedulerConfig,
  start: async (context) =>
    await startScheduler({
      ...context,
      onLeadershipLost: (reason) => {
        context.logger.fatal({ reason }, 'leadership was lost');
        context.exit(exitCodes.again);
      },
    }),
});
