import { describe, expect, it } from '@jest/globals';
import { VirtualClock, waitFor } from '#libs/testing';
import { Gate } from './gate.js';
import { signal } from './testing/fleet.fixture.js';

const bounds = { concurrency_max: 2, queue_max: 2, wait_ms_max: 1000 };

function visitors(gate: Gate) {
  const log: string[] = [];
  const ends = new Map<string, () => void>();
  return {
    log,
    enter(name: string): void {
      const end = signal();
      ends.set(name, () => end.resolve());
      gate.enter({
        run: async () => {
          log.push(`in ${name}`);
          await end.promise;
          log.push(`out ${name}`);
        },
        refuse: () => void log.push(`no ${name}`),
      });
    },
    end(name: string): void {
      ends.get(name)?.();
    },
  };
}

describe('a gate', () => {
  it('lets in so many, keeps so many waiting in order, refuses the rest', async () => {
    const v = visitors(new Gate(bounds, new VirtualClock()));
    for (const name of ['a', 'b', 'c', 'd', 'e']) v.enter(name);
    expect(v.log).toEqual(['in a', 'in b', 'no e']);
    v.end('a');
    await waitFor(() => v.log.includes('in c'));
    v.end('b');
    await waitFor(() => v.log.includes('in d'));
    expect(v.log).toEqual(['in a', 'in b', 'no e', 'out a', 'in c', 'out b', 'in d']);
  });

  it('refuses whoever has waited too long, and lets in the next', async () => {
    const clock = new VirtualClock();
    const v = visitors(new Gate(bounds, clock));
    for (const name of ['a', 'b', 'early']) v.enter(name);
    await clock.advance(600);
    v.enter('late');
    await clock.advance(600);
    v.end('a');
    await waitFor(() => v.log.includes('in late'));
    expect(v.log).toEqual(['in a', 'in b', 'out a', 'no early', 'in late']);
  });

  it('closes: refuses who waits and who comes, and waits for those inside', async () => {
    const gate = new Gate(bounds, new VirtualClock());
    const v = visitors(gate);
    for (const name of ['a', 'b', 'c']) v.enter(name);
    let closed = false;
    const closing = gate.close().then(() => {
      closed = true;
    });
    v.enter('d');
    expect(v.log).toEqual(['in a', 'in b', 'no c', 'no d']);
    v.end('a');
    await waitFor(() => v.log.includes('out a'));
    expect(closed).toBe(false);
    v.end('b');
    await closing;
    await gate.close();
  });
});
