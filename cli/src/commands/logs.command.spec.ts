import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { waitFor } from '#libs/testing';
import fc from 'fast-check';
import { runCli } from '../testing/cli.runner.js';
import { GatewayDouble } from '../testing/gateway.double.js';
import { newLines } from './logs.command.js';

const line = (at: number, text = String(at)) => ({ at: `t${at}`, stream: 'stdout' as const, text });

describe('newLines', () => {
  it('gives each line of a growing log once, whatever the windows', () => {
    const growth = fc.array(fc.nat({ max: 4 }), { maxLength: 20 });
    fc.assert(
      fc.property(
        growth,
        fc.integer({ min: 4, max: 8 }),
        fc.integer({ min: 1, max: 3 }),
        (steps, window, kinds) => {
          const log: ReturnType<typeof line>[] = [];
          const seen: ReturnType<typeof line>[] = [];
          let before: readonly ReturnType<typeof line>[] = [];
          for (const step of steps) {
            // Lines may be alike, but a log does not repeat a whole window.
            for (let n = 0; n < step; n += 1) log.push(line(log.length, String(log.length % kinds)));
            const now = log.slice(-window);
            seen.push(...(newLines(before, now) as typeof seen));
            before = now;
          }
          expect(seen).toEqual(log);
        },
      ),
    );
  });

  it('gives all of a log that has begun anew', () => {
    expect(newLines([line(1), line(2)], [line(7), line(8)])).toEqual([line(7), line(8)]);
  });
});

describe('logs', () => {
  let gateway: GatewayDouble;
  beforeEach(async () => {
    gateway = await new GatewayDouble().start();
  });
  afterEach(() => gateway.stop());

  it('shows the last lines', async () => {
    gateway.lines = [line(1), line(2), line(3)];
    expect((await runCli(['logs', 'b1', '-n', '2'], { gateway })).stdout).toBe('t2 2\nt3 3\n');
  });

  it('goes on with new ones', async () => {
    const interrupted = new AbortController();
    const shown: string[] = [];
    gateway.lines = [line(1)];
    const running = runCli(['logs', 'b1', '-f'], {
      gateway,
      interrupted: interrupted.signal,
      watch: (text) => shown.push(text),
    });
    await waitFor(() => shown.length === 1, { what: 'the first line' });
    gateway.lines.push(line(2), line(3));
    await waitFor(() => shown.length === 3, { what: 'the new lines' });
    interrupted.abort();
    expect(await running).toMatchObject({ code: 130, stdout: 't1 1\nt2 2\nt3 3\n' });
  });
});
