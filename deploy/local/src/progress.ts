/** Tells a person what is being done and how long it took. One line a step; on a terminal it is rewritten. */
export class Progress {
  private readonly startedMs = performance.now();

  constructor(private readonly out: NodeJS.WriteStream = process.stderr) {}

  async step<T>(what: string, work: (update: (detail: string) => void) => Promise<T>): Promise<T> {
    const startedMs = performance.now();
    const show = (mark: string, detail: string) => {
      const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
      return `${mark} ${what}${detail === '' ? '' : ` · ${detail}`} (${seconds} s)`;
    };
    let last = '';
    const update = (detail: string) => {
      last = detail;
      if (this.out.isTTY) this.out.write(`\r\x1b[2K${show('…', detail)}`);
    };
    update('');
    try {
      const result = await work(update);
      this.line(show('✓', last));
      return result;
    } catch (error) {
      const asked = error instanceof Error && error.name === 'AbortError';
      this.line(asked ? show('–', 'interrupted') : show('✗', last));
      throw error;
    }
  }

  line(text: string): void {
    this.out.write(`${this.out.isTTY ? '\r\x1b[2K' : ''}${text}\n`);
  }

  get elapsedSeconds(): number {
    return (performance.now() - this.startedMs) / 1000;
  }
}
