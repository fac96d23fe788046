import pg from 'pg';
import { processNow } from './simulated-process.js';

type Anything = (...args: unknown[]) => unknown;
type Callback = (...args: unknown[]) => void;

interface Patched {
  query: Anything;
  connect: Anything;
}

/**
 * Puts the real database under the simulated time: while a query is under way time stands still, its answer has to pass
 * the gate of the process that asked, and a process that is killed takes its connections along. Returns a function that
 * takes all of it away.
 */
export function gateDatabase(): () => void {
  const prototype = pg.Client.prototype as unknown as Patched;
  const { query, connect } = prototype;
  prototype.query = gated(query);
  prototype.connect = gated(connect, (client, process) => {
    // Whoever would listen to it may be stopped, or dead.
    client.on('error', () => undefined);
    process.onDeath(() => client.connection?.stream?.destroy());
  });
  const pool = pg.Pool.prototype as unknown as Pool;
  const { connect: take } = pool;
  pool.connect = function (this: Pool, ...args: unknown[]) {
    // The pool would count the real time until the answer has passed the gate: on a slow machine a process is stopped for
    // longer than that.
    this.options.connectionTimeoutMillis = 0;
    return take.apply(this, args);
  };
  return () => {
    Object.assign(prototype, { query, connect });
    pool.connect = take;
  };
}

interface Pool {
  connect: Anything;
  readonly options: { connectionTimeoutMillis?: number };
}

interface Client {
  on(event: 'error', listener: () => void): unknown;
  connection?: { stream?: { destroy(): void } };
}
type Process = NonNullable<ReturnType<typeof processNow>>;

function gated(
  original: Anything,
  begin: (client: Client, process: Process) => void = () => undefined,
): Anything {
  return function (this: unknown, ...args: unknown[]): unknown {
    const process = processNow();
    if (process === undefined) return original.apply(this, args);
    // What is left of a killed process (its pool makes new connections for broken ones) asks for nothing any more.
    if (process.isDead) return new Promise(() => undefined);
    begin(this as Client, process);
    const end = process.beginOutside();
    const last = args.at(-1);
    if (typeof last === 'function') {
      args[args.length - 1] = (...answer: unknown[]): void => {
        end();
        process.whenDatabaseAnswers(() => (last as Callback)(...answer));
      };
      return original.apply(this, args);
    }
    const result = original.apply(this, args);
    if (!isThenable(result)) {
      end();
      return result;
    }
    return answered(result, end, process);
  };
}

async function answered(result: PromiseLike<unknown>, end: () => void, process: Process): Promise<unknown> {
  try {
    return await result;
  } finally {
    end();
    await process.databaseGate();
  }
}

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
