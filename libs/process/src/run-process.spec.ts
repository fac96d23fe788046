import { EventEmitter } from 'node:events';
import { describe, expect, it } from '@jest/globals';
import { logLevels } from '#libs/telemetry';
import { waitFor } from '#libs/testing';
import { z } from 'zod';
import { exitCodes, runProcess, type ProcessContext, type ProcessHost } from './run-process.js';

/** Stands for the process: remembers what it was told to exit with. */
class Host extends EventEmitter implements ProcessHost {
  readonly exits: number[] = [];
  readonly texts: string[] = [];
  readonly stderr = { write: (text: string) => this.texts.push(text) };

  constructor(readonly env: NodeJS.ProcessEnv = {}) {
    super();
  }

  exit(code: number): never {
    this.exits.push(code);
    // As the real one, it does not come back.
    return undefined as never;
  }
}

const Config = z.strictObject({
  logLevel: z.enum(logLevels).default('silent'),
  size: z.int().min(1).default(1),
});
type Context = ProcessContext<z.output<typeof Config>>;

function run(host: Host, start: (context: Context) => Promise<{ stop(): Promise<unknown> }>, ms?: number) {
  return runProcess({
    service: 'spec',
    config: Config,
    host,
    start,
    isConfigurationFault: (error) => error instanceof RangeError,
    ...(ms === undefined ? {} : { shutdownMsMax: ms }),
  });
}

describe('runProcess', () => {
  it.each(['SIGTERM', 'SIGINT'])('stops in order at %s and exits with 0', async (signal) => {
    const host = new Host({ TRADEFLEET_SIZE: '3' });
    const steps: string[] = [];
    const done = run(host, async ({ config }) => {
      steps.push(`start ${config.size}`);
      return { stop: async () => void steps.push('stop') };
    });
    await waitFor(() => steps.length === 1);
    host.emit(signal);
    await done;
    expect(steps).toEqual(['start 3', 'stop']);
    expect(host.exits).toEqual([exitCodes.ok]);
  });

  it('tells a person what is wrong with the settings and starts nothing', async () => {
    const host = new Host({ TRADEFLEET_SIZE: 'many' });
    let started = false;
    await run(host, async () => {
      started = true;
      return { stop: async () => undefined };
    });
    expect(started).toBe(false);
    expect(host.exits).toEqual([exitCodes.configuration]);
    expect(host.texts.join('')).toContain('TRADEFLEET_SIZE');
  });

  it('exits with 78 for what else the service says a person must put right, and with 1 for the rest', async () => {
    for (const [error, code] of [
      [new RangeError('use another role'), exitCodes.configuration],
      [new Error('no room'), exitCodes.failure],
    ] as const) {
      const host = new Host();
      await run(host, async () => await Promise.reject(error));
      expect(host.exits).toEqual([code]);
    }
  });

  it('breaks off a start when asked to end, and exits with 0', async () => {
    const host = new Host();
    let waiting = false;
    const done = run(host, async ({ signal }) => {
      waiting = true;
      return await new Promise((_, reject) =>
        signal.addEventListener('abort', () => reject(new Error('broken off'))),
      );
    });
    await waitFor(() => waiting);
    host.emit('SIGTERM');
    await done;
    expect(host.exits).toEqual([exitCodes.ok]);
  });

  it('exits with 1 when the stop fails', async () => {
    const host = new Host();
    const done = run(host, async () => ({ stop: async () => await Promise.reject(new Error('stuck')) }));
    await waitFor(() => host.listenerCount('SIGTERM') > 0);
    host.emit('SIGTERM');
    await done;
    expect(host.exits).toEqual([exitCodes.failure]);
  });

  it('cuts a shutdown short that hangs', async () => {
    const host = new Host();
    let release: () => void = () => undefined;
    const hung = new Promise<void>((resolve) => (release = resolve));
    const done = run(host, async () => ({ stop: async () => await hung }), 10);
    await waitFor(() => host.listenerCount('SIGTERM') > 0);
    host.emit('SIGTERM');
    await waitFor(() => host.exits.length > 0);
    expect(host.exits).toEqual([exitCodes.failure]);
    release();
    await done;
  });

  it.each(['uncaughtException', 'unhandledRejection'])('ends at once with 70 at an %s', async (event) => {
    const host = new Host();
    const done = run(host, async () => ({ stop: async () => undefined }));
    await waitFor(() => host.listenerCount(event) > 0);
    host.emit(event, new Error('a defect'));
    expect(host.exits).toEqual([exitCodes.defect]);
    host.emit('SIGTERM');
    await done;
  });
});
