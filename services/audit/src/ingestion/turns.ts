/** Lets one after the other do its work, in the order of asking. As many wait as ask: whoever asks bounds them. */
export class Turns {
  private last: Promise<unknown> = Promise.resolve();

  async run<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.last.then(work);
    // Who comes next waits for the end of this one, whatever it is.
    this.last = turn.catch(() => undefined);
    return await turn;
  }
}
