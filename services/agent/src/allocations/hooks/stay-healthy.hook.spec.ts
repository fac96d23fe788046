import { describe, expect, it } from '@jest/globals';
import type { Stage } from '#libs/contracts';
import { VirtualClock, aStartCommand } from '#libs/testing';
import { isAbort } from '../../errors.js';
import { RunDirectories } from '../../run-files/run-directories.js';
import type { StatusFeed } from '../../run-files/status-feed.js';
import { RecordedContext, aRecord } from '../../testing/hook.context.js';
import { aStatus } from '../../testing/writing.driver.js';
import { StayHealthyHook } from './stay-healthy.hook.js';

const after_ms = 60_000;
const files = new RunDirectories('/nowhere', null);

/** A bot that says what a test lets it say. */
class Voice implements StatusFeed {
  stage: Stage | null = 'trade-allowed';
  /** What the last look found. */
  silent_ms = 0;
  readonly of = aStartCommand();

  latest() {
    return this.stage === null ? null : aStatus(this.of, this.stage);
  }
  observation() {
    return null;
  }
  silentMs() {
    return this.silent_ms;
  }
  async next() {
    await Promise.resolve();
  }
  async close() {
    await Promise.resolve();
  }
}

/** Watches a bot; `end` is how it ended, null while it is watched. */
function watched(unhealthyAfterMs = after_ms) {
  const clock = new VirtualClock();
  const voice = new Voice();
  const context = new RecordedContext(aRecord({}, aStartCommand({ unhealthyAfterMs })), voice);
  const state: { end: unknown } = { end: null };
  const done = new StayHealthyHook(files, clock).run(context).then(
    () => (state.end = 'returned'),
    (error: unknown) => (state.end = error),
  );
  return { clock, voice, context, state, done };
}

describe('a bot that was ready', () => {
  it('is left alone while it says so, however long', async () => {
    const { clock, context, state, done } = watched();
    await clock.advance(10 * after_ms);
    expect(state.end).toBeNull();
    context.abort.abort();
    await done;
    expect(isAbort(state.end)).toBe(true);
  });

  it('is unhealthy once it has been silent for too long, and not before', async () => {
    const { clock, voice, state } = watched();
    voice.silent_ms = after_ms - 1;
    await clock.advance(after_ms);
    expect(state.end).toBeNull();
    voice.silent_ms = after_ms;
    await clock.advance(after_ms / 10);
    expect(state.end).toMatchObject({ reason: 'unhealthy', hopeless: false });
  });

  it('is unhealthy once it has been back at an earlier stage for too long', async () => {
    const { clock, voice, state } = watched();
    voice.stage = 'login';
    await clock.advance(after_ms);
    expect(state.end).toBeNull();
    await clock.advance(after_ms / 5);
    expect(state.end).toMatchObject({
      reason: 'unhealthy',
      detail: expect.stringContaining('the stage login'),
    });
  });

  it('is forgiven what it came back from', async () => {
    const { clock, voice, state } = watched();
    for (let round = 0; round < 5; round += 1) {
      voice.stage = 'ipc';
      await clock.advance(after_ms * 0.8);
      voice.stage = 'trade-allowed';
      await clock.advance(after_ms / 5);
    }
    expect(state.end).toBeNull();
  });

  it('is not watched when its policy says never', async () => {
    const { state, done } = watched(0);
    await done;
    expect(state.end).toBe('returned');
  });
});
