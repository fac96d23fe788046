import type { SimulatedProcess } from './simulated-process.js';
import type { TrueTime } from './true-time.js';

/** How a link treats what is sent over it. Probabilities are from 0 to 1. */
export interface LinkQuality {
  readonly lost: number;
  readonly doubled: number;
  readonly delay_ms_min: number;
  /** Above `delay_ms_min`: later messages may overtake. */
  readonly delay_ms_max: number;
}

export const goodLink: LinkQuality = { lost: 0, doubled: 0, delay_ms_min: 1, delay_ms_max: 3 };

/** A number from 0 (inclusive) to 1 (exclusive); the same sequence for the same seed. */
export type Random = () => number;

export function randomOf(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The way of one process to the broker, in both directions. Outlives the process, as a cable does. */
export class Link {
  cut = false;
  quality: LinkQuality = goodLink;
  /** What was lost, for people. */
  lost = 0;

  constructor(
    readonly name: string,
    private readonly time: TrueTime,
    private readonly random: Random,
  ) {}

  /** Carries something over, perhaps: late, never, twice, before what was sent earlier. */
  carry(arrive: () => void): void {
    const { lost, doubled } = this.quality;
    if (this.cut || this.random() < lost) {
      this.lost += 1;
      return;
    }
    this.deliver(arrive);
    if (this.random() < doubled) this.deliver(arrive);
  }

  private deliver(arrive: () => void): void {
    const { delay_ms_min, delay_ms_max } = this.quality;
    const delay_ms = delay_ms_min + this.random() * (delay_ms_max - delay_ms_min);
    this.time.at(this.time.now_ms + delay_ms, () => {
      if (this.cut) this.lost += 1;
      else arrive();
    });
  }
}

export interface Subscriber {
  readonly subject: string;
  readonly process: SimulatedProcess;
  readonly link: Link;
  readonly receive: (message: Envelope) => void;
}

/** A message of core NATS on its way. */
export interface Envelope {
  readonly subject: string;
  readonly body: Uint8Array;
  readonly headers: ReadonlyMap<string, string>;
  readonly answer: (body: Uint8Array, headers: ReadonlyMap<string, string>) => void;
}

export const subjectMatches = (pattern: string, subject: string): boolean => {
  const [wanted, given] = [pattern.split('.'), subject.split('.')];
  for (const [index, token] of wanted.entries()) {
    if (token === '>') return given.length > index;
    if (given[index] === undefined || (token !== '*' && token !== given[index])) return false;
  }
  return wanted.length === given.length;
};

/** Requests and answers: the server itself loses nothing, the links to it do. */
export class SimulatedBroker {
  private readonly subscribers = new Set<Subscriber>();

  subscribe(subscriber: Subscriber): () => void {
    this.subscribers.add(subscriber);
    const end = (): void => void this.subscribers.delete(subscriber);
    subscriber.process.onDeath(end);
    return end;
  }

  /** Every subscriber of the subject gets it, each over its own link. */
  send(from: Link, envelope: Envelope): void {
    from.carry(() => {
      for (const subscriber of [...this.subscribers]) {
        if (!subjectMatches(subscriber.subject, envelope.subject)) continue;
        const answer: Envelope['answer'] = (body, headers) =>
          subscriber.link.carry(() => from.carry(() => envelope.answer(body, headers)));
        subscriber.link.carry(() =>
          subscriber.process.whenRunning(() => subscriber.receive({ ...envelope, answer })),
        );
      }
    });
  }
}
