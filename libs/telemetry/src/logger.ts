import type { LoggerService } from '@nestjs/common';
import {
  pino,
  stdTimeFunctions,
  type Bindings,
  type ChildLoggerOptions,
  type DestinationStream,
  type Logger as PinoLogger,
} from 'pino';
import { redactFields, redactText } from './redaction.js';
import { requestContext } from './request-context.js';
import { traceIdOf } from './traceparent.js';
import { logFields } from './names.js';

/** `logger.info({ host }, 'constant message')`: fields first, then a message that never varies. */
export type Logger = PinoLogger;

/** DI token of the process's logger. */
export const LOGGER = Symbol('Logger');

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

export interface LoggerOptions {
  readonly service: string;
  /** Default `info`. */
  readonly level?: LogLevel;
  /** On every line; for what never changes in this process. */
  readonly fields?: Readonly<Record<string, unknown>>;
  /** Default: stdout. */
  readonly destination?: DestinationStream;
}

/** JSON lines on stdout; nothing whose name tells of a secret is written, at any depth. */
export function createLogger({ service, level = 'info', fields = {}, destination }: LoggerOptions): Logger {
  const logger = pino(
    {
      level,
      base: { [logFields.service]: service, ...redactFields(fields) },
      timestamp: stdTimeFunctions.isoTime,
      messageKey: 'msg',
      errorKey: 'err',
      formatters: {
        level: (label) => ({ level: label }),
        log: (object) => redactFields(object),
      },
      // The formatter above has flattened errors already; pino's own serializer would drop their cleaned form.
      serializers: { err: (value: unknown) => value },
      mixin: () => {
        const context = requestContext.getStore();
        const traceId = context === undefined ? undefined : traceIdOf(context.traceparent);
        return traceId === undefined ? {} : { [logFields.traceId]: traceId };
      },
    },
    destination ?? pino.destination(1),
  );
  // Pino leaves the fields of children to whoever makes them; they are cleaned as all others. Children inherit this.
  const prototype = Object.getPrototypeOf(logger) as {
    child(this: Logger, bindings: Bindings, options?: ChildLoggerOptions): Logger;
  };
  Object.defineProperty(logger, 'child', {
    value(this: Logger, bindings: Bindings, childOptions?: ChildLoggerOptions): Logger {
      return prototype.child.call(this, redactFields(bindings), childOptions);
    },
  });
  return logger;
}

/** Nest's own messages in the same form. Give it to the application: `{ logger: new NestPinoLogger(logger) }`. */
export class NestPinoLogger implements LoggerService {
  constructor(private readonly logger: Logger) {}

  log(message: unknown, ...rest: unknown[]): void {
    this.write('info', message, rest);
  }

  warn(message: unknown, ...rest: unknown[]): void {
    this.write('warn', message, rest);
  }

  error(message: unknown, ...rest: unknown[]): void {
    this.write('error', message, rest);
  }

  debug(message: unknown, ...rest: unknown[]): void {
    this.write('debug', message, rest);
  }

  verbose(message: unknown, ...rest: unknown[]): void {
    this.write('trace', message, rest);
  }

  fatal(message: unknown, ...rest: unknown[]): void {
    this.write('fatal', message, rest);
  }

  /** Nest passes the context last and, to `error`, a stack before it. */
  private write(level: Exclude<LogLevel, 'silent'>, message: unknown, rest: unknown[]): void {
    const last = rest.at(-1);
    const context = typeof last === 'string' ? last : undefined;
    const others = context === undefined ? rest : rest.slice(0, -1);
    const fields = {
      ...(context === undefined ? {} : { [logFields.context]: context }),
      ...(others.length === 0 ? {} : { details: others }),
      ...(message instanceof Error ? { err: message } : {}),
    };
    if (typeof message === 'string') this.logger[level](fields, redactText(message));
    else if (message instanceof Error) this.logger[level](fields, 'error in the framework');
    else this.logger[level]({ ...fields, message }, 'message of the framework');
  }
}
