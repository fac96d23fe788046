import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SystemClock } from '#libs/clock';
import { runtimes, type Stage } from '#libs/contracts';
import { createLogger } from '#libs/telemetry';
import { VirtualClock, aStartCommand, waitFor } from '#libs/testing';
import { RunDirectories } from '../../run-files/run-directories.js';
import { FileStatusFeed } from '../../run-files/status-feed.js';
import { firstAttempt } from '../allocation.attempts.js';
import { RecordedContext, aRecord } from '../../testing/hook.context.js';
import { aStatus, say } from '../../testing/writing.driver.js';
import { AwaitReadyHook, stagesPassed } from './await-ready.hook.js';

const { stages } = runtimes.paper;

describe('stages passed', () => {
  it.each<[Stage | null, Stage | null, Stage[]]>([
    [null, null, []],
    [null, 'container', ['container']],
    [null, 'login', ['container', 'terminal', 'login']],
    ['terminal', 'ipc', ['login', 'ipc']],
    ['ipc', 'login', []],
    ['ipc', 'ipc', []],
    ['login', 'display', []], // a stage the runtime does not have
    ['account-matches', 'trade-allowed', ['trade-allowed']],
  ])('after %s, seen %s', (reported, seen, passed) => {
    expect(stagesPassed(stages, reported, seen)).toEqual(passed);
  });
});

describe('AwaitReadyHook', () => {
  let root: string;
  let files: RunDirectories;
  const logger = createLogger({ service: 'test', level: 'silent' });
  const command = aStartCommand({ stageTimeoutMs: 30_000 });
  const feeds: FileStatusFeed[] = [];

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'tradefleet-ready-'));
    files = new RunDirectories(root, null);
    await files.make({
      schema: 1,
      tenant: command.tenant,
      bot: command.bot,
      account: command.account,
      allocation: command.allocation,
      epoch: command.epoch,
      host: command.host,
      runtime: 'paper',
      parameters: {},
      stageTimeoutMs: command.stageTimeoutMs,
      stopGraceMs: 0,
    });
    await files.writeCredentials({
      schema: 1,
      allocation: command.allocation,
      epoch: command.epoch,
      login: command.login,
      password: 'x',
      server: command.server,
      expiresAt: '2030-01-01T00:00:00.000Z',
    });
  });
  afterEach(async () => {
    for (const feed of feeds.splice(0)) await feed.close();
    await rm(root, { recursive: true, force: true });
  });

  const runDir = () => files.path(command.allocation);
  const hasCredentials = () => existsSync(join(runDir(), 'credentials.json'));
  const context = (fields: Parameters<typeof aRecord>[0] = {}) => {
    const feed = new FileStatusFeed(command, files, new SystemClock(), logger);
    feeds.push(feed);
    return new RecordedContext(aRecord({ state: 'starting', ...fields }, command), feed);
  };

  it('reports every stage in order and takes the password away at the login', async () => {
    const watched = context();
    const running = new AwaitReadyHook(files, new SystemClock()).run(watched);
    await say(runDir(), aStatus(command, 'terminal'));
    await waitFor(() => watched.stages.length === 2);
    expect(hasCredentials()).toBe(true);
    await say(runDir(), aStatus(command, 'login'));
    await waitFor(() => watched.stages.length === 3);
    expect(hasCredentials()).toBe(false);
    await say(runDir(), aStatus(command, 'trade-allowed'));
    await running;
    expect(watched.stages).toEqual(stages);
    expect(watched.ready).toBe(true);
  });

  it('takes the password away although the stage of the login was never seen', async () => {
    const watched = context();
    await say(runDir(), aStatus(command, 'trade-allowed'));
    await new AwaitReadyHook(files, new SystemClock()).run(watched);
    expect(watched.stages).toEqual(stages);
    expect(hasCredentials()).toBe(false);
  });

  it('goes on after the stage that was reported before a restart of the agent', async () => {
    const watched = context({ stage: 'ipc' });
    await say(runDir(), aStatus(command, 'trade-allowed'));
    await new AwaitReadyHook(files, new SystemClock()).run(watched);
    expect(watched.stages).toEqual(['account-matches', 'trade-allowed']);
  });

  it('does nothing for a bot that was ready before', async () => {
    const watched = context({ state: 'running', stage: 'trade-allowed' });
    await new AwaitReadyHook(files, new SystemClock()).run(watched);
    expect(watched.stages).toEqual([]);
  });

  it('waits for every stage of a later attempt, whose allocation runs already, and says how long each took', async () => {
    const watched = context({ state: 'running', attempts: { ...firstAttempt, attempt: 2 } });
    const clock = new SystemClock();
    watched.startedMs = clock.monotonicMs();
    const done = new AwaitReadyHook(files, clock).run(watched);
    await say(runDir(), aStatus(command, 'login'));
    await waitFor(() => watched.stages.includes('login'));
    expect(watched.ready).toBe(false);
    await say(runDir(), aStatus(command, 'trade-allowed'));
    await done;
    expect(watched.stages).toEqual([...stages]);
    expect(watched.took_ms.every((took_ms) => took_ms !== null && took_ms >= 0)).toBe(true);
  });

  it('takes nobody at his word who speaks for another allocation', async () => {
    const watched = context();
    await say(
      runDir(),
      aStatus({ allocation: aStartCommand().allocation, epoch: command.epoch }, 'trade-allowed'),
    );
    const running = new AwaitReadyHook(files, new SystemClock()).run(watched);
    const outcome = expect(running).rejects.toMatchObject({ name: 'AbortError' });
    await say(runDir(), aStatus(command, 'container'));
    await waitFor(() => watched.stages.length === 1);
    watched.abort.abort();
    await outcome;
    expect(watched.stages).toEqual(['container']);
  });

  it('gives each stage its time and names the one that took too long', async () => {
    const clock = new VirtualClock();
    const said = { ...aStatus(command, 'container'), error: 'the terminal does not answer' };
    const watched = new RecordedContext(aRecord({ state: 'starting' }, command), {
      latest: () => said,
      observation: () => null,
      silentMs: () => 0,
      next: async (timeout_ms, signal) => await clock.sleep(timeout_ms, signal),
      close: async () => undefined,
    });
    const running = new AwaitReadyHook(files, clock).run(watched);
    const outcome = expect(running).rejects.toMatchObject({
      reason: 'stage-timeout',
      detail:
        'The stage terminal was not reached within 30000 ms. The bot says: the terminal does not answer',
    });
    await clock.advance(30_000);
    await outcome;
    expect(watched.stages).toEqual(['container']);
  });

  it('counts a driver without files as ready', async () => {
    const watched = new RecordedContext(aRecord({ state: 'starting' }, command));
    await new AwaitReadyHook(null, new SystemClock()).run(watched);
    expect(watched.stages).toEqual(['trade-allowed']);
    expect(watched.ready).toBe(true);
  });
});
