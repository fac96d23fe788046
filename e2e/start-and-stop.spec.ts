import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { waitFor } from '#libs/testing';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { DockerEngine } from './testing/docker.engine.js';
import { FleetHarness } from './testing/fleet.harness.js';
import { aManifest, manyBots } from './testing/manifests.js';

const command_ms_max = 240_000;
const run = promisify(execFile);

/** `npm start`, Ctrl-C at any moment, `npm start` again: on one state folder, as a person does it. */
describe('starting and stopping', () => {
  const manifest = aManifest(manyBots(2));
  const bots = manifest.tenants[0]?.bots?.map(({ name }) => name) ?? [];
  const engine = new DockerEngine();
  let fleet: FleetHarness;

  beforeAll(async () => {
    fleet = await FleetHarness.make({ driver: 'docker', hosts: 1, manifest });
  });
  afterEach(async () => {
    await fleet.end();
    await fleet.untilNothingIsLeft();
  }, 120_000);
  afterAll(async () => {
    await fleet.stop();
  }, 120_000);

  /** Runs `main.js <verb>` to its end, as `npm run <verb>` does. */
  async function command(verb: 'start' | 'stop' | 'status', ...words: string[]) {
    const options = { timeout: command_ms_max, env: fleet.environment() };
    try {
      const { stdout } = await run(process.execPath, fleet.commandLine(verb, ...words), options);
      return { code: 0, stdout };
    } catch (error) {
      const { code, stdout } = error as { code: number; stdout: string };
      return { code, stdout };
    }
  }

  /** How far the start has come. */
  const moments: [string, () => boolean | Promise<boolean>][] = [
    ['as soon as it has begun', () => fleet.readRecord() !== null],
    ['when the first service runs', () => fleet.pidOf('scheduler') !== null],
    ['when the agent runs', () => fleet.pidOf('agent-host-a') !== null],
    [
      'when the first container is made',
      async () => fleet.readRecord() !== null && (await engine.containers(fleet.name)).length > 0,
    ],
  ];

  it.each(moments)(
    'Ctrl-C %s leaves nothing',
    async (_, come) => {
      let tries = 0;
      for (let wasReady = true; wasReady;) {
        await fleet.launch();
        await waitFor(come, { timeoutMs: 90_000, intervalMs: 1, what: 'the moment' });
        // A busy machine may have let it pass before it was seen: once more then.
        wasReady = fleet.readRecord()?.ready === true;
        expect(await fleet.end('SIGINT')).toBe('code 0');
        await fleet.untilNothingIsLeft();
        expect(fleet.console()).not.toMatch(/✗|error/i);
        expect((tries += 1)).toBeLessThanOrEqual(3);
      }
    },
    360_000,
  );

  it('goes on where it was: the same bots run again, each under a higher epoch', async () => {
    await fleet.launch();
    await fleet.untilReady();
    const before = await Promise.all(bots.map((bot) => fleet.untilRuns(bot)));
    // What is looked for afterwards is there while it runs, so it would be seen.
    const kinds = new Set((await fleet.leftovers()).map((what) => what.split(/[ /]/)[0]));
    expect(kinds).toEqual(new Set(['process', 'container', 'network', 'fleet.json', '']));
    expect(await fleet.end('SIGINT')).toBe('code 0');
    await fleet.untilNothingIsLeft();

    expect(await command('status')).toMatchObject({ code: 3 });
    expect(await command('start', '--detach', ...fleet.startWords())).toMatchObject({ code: 0 });
    const status = await command('status', '--json');
    expect(JSON.parse(status.stdout)).toMatchObject({
      running: true,
      ready: true,
      bots: bots.toSorted().map((name) => expect.objectContaining({ name, desired: 'running' })),
    });
    for (const old of before) {
      const now = await fleet.untilRuns(old.bot, old.epoch);
      expect(now.id).not.toBe(old.id);
    }
    // A second fleet on the same state is refused and leaves the first alone.
    expect((await command('start', ...fleet.startWords())).code).toBe(1);
    expect(await fleet.gateway.readiness()).toMatchObject({ scheduler: 'ok', nats: 'ok' });

    const pid = fleet.readRecord()?.main.pid;
    expect(await command('stop')).toMatchObject({ code: 0 });
    await fleet.untilNothingIsLeft();
    expect(() => readFileSync(`/proc/${pid ?? 0}/stat`)).toThrow(/ENOENT/);
  }, 300_000);
});
