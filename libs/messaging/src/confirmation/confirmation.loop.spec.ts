import { describe, expect, it } from '@jest/globals';
import { newId, type SequenceRange } from '#libs/contracts';
import { VirtualClock, waitFor } from '#libs/testing';
import type { WatermarkQuestion, Watermarks } from './ask-watermark.js';
import { ConfirmationLoop, type KeptEvents } from './confirmation.loop.js';
import { joined, without } from './unavailable-ranges.js';

/** Keeps numbers, as a producer keeps events. */
class KeptNumbers implements KeptEvents {
  readonly byIncarnation = new Map<string, { last: number; there: Set<number> }>();
  readonly asked: number[] = [];

  keep(incarnation: string, ...there: number[]): void {
    this.byIncarnation.set(incarnation, { last: Math.max(...there), there: new Set(there) });
  }

  incarnations() {
    return [...this.byIncarnation]
      .filter(([, { there }]) => there.size > 0)
      .map(([incarnation, { last }]) => ({ incarnation, last }));
  }

  confirm(incarnation: string, upTo: number): void {
    const there = this.byIncarnation.get(incarnation)?.there;
    for (const number of there ?? []) if (number <= upTo) there?.delete(number);
  }

  again(incarnation: string, ranges: readonly SequenceRange[]): number[] {
    const there = [...(this.byIncarnation.get(incarnation)?.there ?? [])];
    const found = there.filter((number) => ranges.some(([from, to]) => from <= number && number <= to));
    this.asked.push(...found);
    return found;
  }
}

describe('ConfirmationLoop', () => {
  const clock = new VirtualClock();
  const told: string[] = [];
  const logger = {
    info: (_fields: object, message: string) => void told.push(message),
    warn: (_fields: object, message: string) => void told.push(message),
    error: (_fields: object, message: string) => void told.push(message),
  };
  const source = '/scheduler';

  const looping = async (
    kept: KeptEvents,
    ask: (request: WatermarkQuestion) => Promise<Watermarks>,
    work: (requests: WatermarkQuestion[]) => Promise<void>,
  ) => {
    told.length = 0;
    const requests: WatermarkQuestion[] = [];
    const recording = async (request: WatermarkQuestion) => {
      requests.push(request);
      return await ask(request);
    };
    const loop = new ConfirmationLoop(kept, recording, { source, clock, logger });
    loop.start();
    try {
      await asleep();
      await work(requests);
    } finally {
      await loop.stop();
    }
  };
  const asleep = async () => await waitFor(() => clock.sleeping === 1, { what: 'the loop to wait' });
  const passes = async (ms: number) => {
    await clock.advance(ms);
    await asleep();
  };
  const answering =
    (upTo: number, missing: SequenceRange[] = []) =>
    async ({ incarnations }: WatermarkQuestion): Promise<Watermarks> => ({
      incarnations: incarnations.map(({ incarnation }) => ({ incarnation, upTo, missing })),
    });

  it('asks for nothing while nothing is kept', async () => {
    await looping(new KeptNumbers(), answering(0), async (requests) => {
      await passes(10_000);
      expect(requests).toEqual([]);
    });
  });

  it('lets go of what the watermark has passed, of every incarnation for itself', async () => {
    const kept = new KeptNumbers();
    const [a, b] = [newId(), newId()];
    kept.keep(a, 1, 2, 3);
    kept.keep(b, 1, 2);
    const ask = async (): Promise<Watermarks> => ({
      incarnations: [
        { incarnation: b, upTo: 2, missing: [] },
        { incarnation: a, upTo: 2, missing: [] },
        { incarnation: newId(), upTo: 9, missing: [[1, 2]] },
      ],
    });
    await looping(kept, ask, async (requests) => {
      expect(requests).toEqual([
        {
          source,
          incarnations: [
            { incarnation: a, last: 3, unavailable: [] },
            { incarnation: b, last: 2, unavailable: [] },
          ],
        },
      ]);
      expect(kept.incarnations()).toEqual([{ incarnation: a, last: 3 }]);
      await passes(2000);
      expect(requests[1]?.incarnations).toEqual([{ incarnation: a, last: 3, unavailable: [] }]);
    });
  });

  it('has missing events published again, and says which of them are gone until that is settled', async () => {
    const kept = new KeptNumbers();
    const a = newId();
    kept.keep(a, 4, 6, 9, 10);
    let ask = answering(2, [
      [3, 7],
      [9, 12],
    ]);
    await looping(
      kept,
      async (request) => await ask(request),
      async (requests) => {
        // 11 and 12 have not been published yet, so they cannot be missing.
        expect(kept.asked).toEqual([4, 6, 9, 10]);
        ask = answering(2);
        // Sooner than usual: there may be more.
        await passes(500);
        const gone = [
          [3, 3],
          [5, 5],
          [7, 7],
        ];
        expect(requests[1]?.incarnations[0]?.unavailable).toEqual(gone);
        ask = answering(5);
        await passes(2000);
        expect(requests[2]?.incarnations[0]?.unavailable).toEqual(gone);
        await passes(2000);
        expect(requests[3]?.incarnations[0]?.unavailable).toEqual([[7, 7]]);
      },
    );
  });

  it('keeps everything while nobody answers, asks ever more seldom, and says so once', async () => {
    const kept = new KeptNumbers();
    kept.keep(newId(), 1);
    let away = true;
    const ask = async (request: WatermarkQuestion) => {
      if (away) throw new Error('nobody there');
      return await answering(1)(request);
    };
    await looping(kept, ask, async (requests) => {
      while (requests.length < 8) await passes(1000);
      // Pauses are between 15 and 30 s by now.
      const before = requests.length;
      for (let second = 0; second < 300; second += 1) await passes(1000);
      expect(requests.length - before).toBeGreaterThanOrEqual(10);
      expect(requests.length - before).toBeLessThanOrEqual(20);
      expect(kept.incarnations()).toHaveLength(1);
      expect(told).toEqual(['events are not confirmed: they are kept until the audit service answers']);
      away = false;
      await passes(30_000);
      expect(kept.incarnations()).toEqual([]);
      expect(told.at(-1)).toBe('events are confirmed again');
    });
  });

  it('asks at once when woken', async () => {
    const kept = new KeptNumbers();
    kept.keep(newId(), 1);
    const requests: WatermarkQuestion[] = [];
    const loop = new ConfirmationLoop(
      kept,
      async (request) => {
        requests.push(request);
        throw new Error('nobody there');
      },
      { source, clock, logger },
    );
    loop.start();
    await asleep();
    loop.wake();
    await waitFor(() => requests.length === 2);
    await loop.stop();
    expect(loop.status()).toEqual({ failures: 2, mistrusted: 0 });
  });

  it('ends without waiting for an answer, which has no effect any more', async () => {
    const kept = new KeptNumbers();
    kept.keep(newId(), 1);
    let answer: () => void = () => undefined;
    const late = new Promise<void>((resolve) => (answer = resolve));
    let asked = false;
    const loop = new ConfirmationLoop(
      kept,
      async (request) => {
        asked = true;
        await late;
        return await answering(1)(request);
      },
      { source, clock, logger },
    );
    loop.start();
    await waitFor(() => asked);
    await loop.stop();
    answer();
    await new Promise((resolve) => setImmediate(resolve));
    expect(kept.incarnations()).toHaveLength(1);
  });

  it('takes turns among more incarnations than a request holds', async () => {
    const kept = new KeptNumbers();
    const all = Array.from({ length: 150 }, () => newId());
    for (const incarnation of all) kept.keep(incarnation, 1);
    await looping(kept, answering(0), async (requests) => {
      await passes(2000);
      await passes(2000);
      expect(requests.map(({ incarnations }) => incarnations.length)).toEqual([64, 64, 64]);
      const seen = requests.flatMap(({ incarnations }) => incarnations.map((it) => it.incarnation));
      expect(new Set(seen)).toEqual(new Set(all));
    });
  });
});

describe('ranges', () => {
  it('are joined where they touch', () => {
    expect(
      joined([
        [7, 9],
        [1, 2],
        [3, 4],
        [8, 12],
      ]),
    ).toEqual([
      [1, 4],
      [7, 12],
    ]);
  });

  it('without what is there are what is gone', () => {
    expect(
      without(
        [
          [1, 5],
          [8, 9],
        ],
        [2, 3, 6, 9],
      ),
    ).toEqual([
      [1, 1],
      [4, 5],
      [8, 8],
    ]);
    expect(without([[1, 2]], [1, 2])).toEqual([]);
    expect(without([[3, 4]], [])).toEqual([[3, 4]]);
  });
});
