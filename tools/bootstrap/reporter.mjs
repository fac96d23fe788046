/** Shows what the bootstrap does: one line per step, a moving line only on a terminal. */

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const FRAME_MS = 100;
/** A step that takes longer than this is announced where nothing can move. */
const ANNOUNCE_AFTER_MS = 1_000;
const NAME_WIDTH = 13;

/** @param {number} ms */
export function inSeconds(ms) {
  return `${(ms / 1000).toFixed(1)} s`;
}

export class Reporter {
  #stream;
  #moving;
  #timer;
  #frame = 0;
  #name = '';
  #doing = '';
  #announced = '';
  #startedMs = 0;
  #now;

  /**
   * @param {NodeJS.WritableStream & {isTTY?: boolean, columns?: number}} stream
   * @param {{now?: () => number}} [options] a monotonic clock in milliseconds
   */
  constructor(stream, { now = () => performance.now() } = {}) {
    this.#stream = stream;
    this.#moving = stream.isTTY === true;
    this.#now = now;
  }

  /** @param {string} name */
  begin(name) {
    this.#name = name;
    this.#doing = '';
    this.#announced = '';
    this.#startedMs = this.#now();
    this.#timer = this.#moving
      ? setInterval(() => this.#draw(), FRAME_MS)
      : setTimeout(() => this.#announce(), ANNOUNCE_AFTER_MS);
  }

  /** Says what the step is busy with now. @param {string} text */
  doing(text) {
    this.#doing = text;
    if (!this.#moving && this.#now() - this.#startedMs > ANNOUNCE_AFTER_MS) this.#announce();
  }

  /** A detail that changes often: shown only where the line can move. @param {string} text */
  progress(text) {
    if (this.#moving) this.#doing = text;
  }

  /** @param {string} text */
  warn(text) {
    this.#clear();
    this.#stream.write(`! ${this.#name.padEnd(NAME_WIDTH)} ${text}\n`);
  }

  /** @param {'done' | 'failed' | 'skipped'} state @param {string} detail */
  end(state, detail) {
    clearInterval(this.#timer);
    clearTimeout(this.#timer);
    this.#clear();
    const mark = { done: '✓', failed: '✗', skipped: '-' }[state];
    const took = inSeconds(this.#now() - this.#startedMs);
    this.#stream.write(`${mark} ${this.#name.padEnd(NAME_WIDTH)} ${detail} (${took})\n`);
  }

  /** @param {string} text */
  line(text) {
    this.#clear();
    this.#stream.write(`${text}\n`);
  }

  #announce() {
    if (this.#doing === '' || this.#doing === this.#announced) return;
    this.#announced = this.#doing;
    this.#stream.write(`  ${this.#name.padEnd(NAME_WIDTH)} ${this.#doing} ...\n`);
  }

  #draw() {
    this.#frame = (this.#frame + 1) % FRAMES.length;
    const took = inSeconds(this.#now() - this.#startedMs);
    const text = `${FRAMES[this.#frame]} ${this.#name.padEnd(NAME_WIDTH)} ${this.#doing} (${took})`;
    this.#clear();
    this.#stream.write(text.slice(0, (this.#stream.columns ?? 80) - 1));
  }

  #clear() {
    if (this.#moving) this.#stream.write('\r\u001b[2K');
  }
}
