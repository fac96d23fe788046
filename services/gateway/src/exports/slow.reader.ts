import type { Clock } from '#libs/clock';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';

/** The client has taken nothing for too long. */
export class ReaderStalled extends Error {
  override readonly name = 'ReaderStalled';
}

/** Last words must not keep the connection. */
const last_words_ms_max = 2000;

/** Writes no faster than the other side reads: what is not read yet is one text at most. */
export class SlowReader {
  constructor(
    private readonly response: ServerResponse,
    private readonly clock: Clock,
    /** The longest wait for the client to take what it was sent. */
    private readonly stall_ms_max: number,
  ) {}

  /** Returns when there is room for more. Throws `ReaderStalled`, or what the signal was aborted with. */
  async write(text: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (text === '' || this.response.write(text)) return;
    if (!(await this.within(this.stall_ms_max, once(this.response, 'drain', { signal }), signal)))
      throw new ReaderStalled(`The client has read nothing for ${this.stall_ms_max} ms.`);
  }

  /** Writes a last text, then cuts the connection off: without the last chunk the client knows that more was to come. */
  async cut(text: string): Promise<void> {
    const sent = new Promise<void>((resolve) => this.response.write(text, () => resolve()));
    await this.within(last_words_ms_max, sent, new AbortController().signal);
    this.response.destroy();
  }

  /** Whether it came about in time. Throws what it throws; why it was aborted when the signal was. */
  private async within(ms: number, work: Promise<unknown>, signal: AbortSignal): Promise<boolean> {
    const timer = new AbortController();
    const late = this.clock.sleep(ms, timer.signal).then(
      () => false,
      () => false, // the timer is no longer needed
    );
    try {
      return await Promise.race([work.then(() => true), late]);
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    } finally {
      timer.abort();
    }
  }
}
