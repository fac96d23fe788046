import { configPrefix, ConfigurationError, loadConfig } from '#libs/config';
import { createLogger, startTelemetry, type Logger, type LogLevel } from '#libs/telemetry';
import type { z } from 'zod';

/** How every service ends, after sysexits.h; whoever starts it goes by these. */
export const exitCodes = {
  ok: 0,
  /** It could not start, or not end in order. Starting again may help. */
  failure: 1,
  /** A defect left it in an unknown state (EX_SOFTWARE). */
  defect: 70,
  /** It must be started again (EX_TEMPFAIL). */
  again: 75,
  /** Another process has taken its place; starting it again would only begin the quarrel anew (EX_PROTOCOL). */
  superseded: 76,
  /** Settings or surroundings are wrong: a person must act, starting again does not help (EX_CONFIG). */
  configuration: 78,
} as const;

/** A shutdown that hangs is ended; longer than all bounded steps of a service together. */
const shutdown_ms_max = 30_000;

export interface Running {
  /** Ends in order; nothing accepted is lost. Called once. */
  stop(): Promise<unknown>;
}

/** The settings of a service; all have a level of their log. */
type ServiceConfig = z.ZodObject<{ logLevel: z.ZodType<LogLevel> }>;

export interface ProcessContext<C> {
  readonly config: C;
  readonly logger: Logger;
  /** Aborts when the process is asked to end, also while it still starts. */
  readonly signal: AbortSignal;
  /** Ends the process at once, with nothing more done. For what must not go on, such as a leader that no longer leads. */
  readonly exit: (code: number) => never;
}

export interface ProcessOptions<S extends ServiceConfig> {
  /** For logs and telemetry: `scheduler`. */
  readonly service: string;
  readonly config: S;
  readonly start: (context: ProcessContext<z.output<S>>) => Promise<Running>;
  /** Further fields of every log line. */
  readonly logFields?: (config: z.output<S>) => Record<string, string>;
  /** Errors besides those of the configuration that a person must put right. */
  readonly isConfigurationFault?: (error: unknown) => boolean;
  /** Default 30 s. */
  readonly shutdownMsMax?: number;
  /** The process it runs in; another one in tests. */
  readonly host?: ProcessHost;
}

/** What is used of `process`. */
export interface ProcessHost {
  readonly env: NodeJS.ProcessEnv;
  readonly stderr: { write(text: string): unknown };
  once(event: string, listener: (argument: unknown) => void): unknown;
  exit(code: number): never;
}

/**
 * Runs a service as the process it is in, from its settings to its end:
 *
 *   settings -> log -> telemetry -> start ... SIGTERM or SIGINT -> stop (bounded) -> telemetry -> exit
 *
 * A fault in the settings is told as one readable text on standard error, any other fault as a log line. Resolves when
 * it has told the process to exit.
 */
export async function runProcess<S extends ServiceConfig>(options: ProcessOptions<S>): Promise<void> {
  const { service, host = process, isConfigurationFault = () => false } = options;
  let logger: Logger | null = null;
  try {
    const config = loadConfig(options.config, { prefix: configPrefix, env: host.env });
    logger = createLogger({
      service,
      level: config.logLevel,
      fields: options.logFields?.(config) ?? {},
    });
    dieOfDefects(host, logger);
    const stopTelemetry = await startTelemetry(service, host.env);
    try {
      await untilAskedToEnd(options, host, config, logger);
    } finally {
      await stopTelemetry();
    }
    host.exit(exitCodes.ok);
  } catch (error) {
    const misconfigured = error instanceof ConfigurationError || isConfigurationFault(error);
    // Also before there is a logger, and so that a person reads it: the message alone, which quotes no secret.
    if (misconfigured || logger === null)
      host.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    else logger.fatal({ err: error }, 'the service has ended because of a fault');
    host.exit(misconfigured ? exitCodes.configuration : exitCodes.failure);
  }
}

async function untilAskedToEnd<S extends ServiceConfig>(
  { start, shutdownMsMax = shutdown_ms_max }: ProcessOptions<S>,
  host: ProcessHost,
  config: z.output<S>,
  logger: Logger,
): Promise<void> {
  const ending = new AbortController();
  const asked = new Promise<void>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT']) {
      host.once(name, () => {
        logger.info({ signal: name }, 'asked to stop');
        ending.abort();
        setTimeout(() => {
          logger.error({ shutdownMsMax }, 'the shutdown hangs and is cut short');
          host.exit(exitCodes.failure);
        }, shutdownMsMax).unref();
        resolve();
      });
    }
  });
  const running = await begun(
    start({ config, logger, signal: ending.signal, exit: (code) => host.exit(code) }),
    {
      brokenOff: ending.signal,
      logger,
    },
  );
  await asked;
  await running?.stop();
  logger.info({}, 'stopped');
}

/** What was started; null when it was asked to end before that and broke off. */
async function begun(
  starting: Promise<Running>,
  { brokenOff, logger }: { brokenOff: AbortSignal; logger: Logger },
): Promise<Running | null> {
  try {
    return await starting;
  } catch (error) {
    if (!brokenOff.aborted) throw error;
    logger.info({ err: error }, 'the start was broken off');
    return null;
  }
}

/** A process in an unknown state must not go on: it may hold leases, locks or messages that others wait for. */
function dieOfDefects(host: ProcessHost, logger: Logger): void {
  const die = (error: unknown): void => {
    logger.fatal({ err: error }, 'the service ends because of a defect');
    host.exit(exitCodes.defect);
  };
  host.once('uncaughtException', die);
  host.once('unhandledRejection', die);
}
