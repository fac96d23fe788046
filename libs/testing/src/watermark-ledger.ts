import type { SequenceRange, WatermarkAnswer, WatermarkRequest } from '#libs/contracts';

/**
 * What the audit service knows of producers, for specs: which numbers have come, and the answer to those who ask how far
 * their events are recorded.
 */
export class WatermarkLedger {
  private readonly received = new Map<string, Set<number>>();
  private readonly asked = new Map<string, string>();

  /** An event has come. Answers whether it is new. */
  record({ incarnation, sequence }: { incarnation: string; sequence: number }): boolean {
    const numbers = this.numbersOf(incarnation);
    if (numbers.has(sequence)) return false;
    numbers.add(sequence);
    return true;
  }

  /** As a database that was brought back from a backup. */
  forget(incarnation: string, ...sequences: readonly number[]): void {
    for (const sequence of sequences) this.numbersOf(incarnation).delete(sequence);
  }

  answer({ source, nonce, incarnations }: WatermarkRequest): WatermarkAnswer {
    return {
      ...{ source, nonce },
      incarnations: incarnations.map(({ incarnation, last, unavailable }) => {
        const numbers = this.numbersOf(incarnation);
        for (const [from, to] of unavailable)
          for (let number = from; number <= to; number += 1) numbers.add(number);
        let upTo = 0;
        while (numbers.has(upTo + 1)) upTo += 1;
        // What is on its way is not missing: the second request that finds it so may say it.
        const now = `${upTo}/${last}`;
        const stands = this.asked.get(incarnation) === now;
        this.asked.set(incarnation, now);
        return { incarnation, upTo, missing: stands ? gaps(numbers, upTo, last) : [] };
      }),
    };
  }

  private numbersOf(incarnation: string): Set<number> {
    const numbers = this.received.get(incarnation) ?? new Set();
    this.received.set(incarnation, numbers);
    return numbers;
  }
}

function gaps(numbers: ReadonlySet<number>, upTo: number, last: number): SequenceRange[] {
  const out: SequenceRange[] = [];
  for (let number = upTo + 1; number <= last && out.length < 32; number += 1) {
    if (numbers.has(number)) continue;
    const before = out.at(-1);
    if (before?.[1] === number - 1) before[1] = number;
    else out.push([number, number]);
  }
  return out;
}
