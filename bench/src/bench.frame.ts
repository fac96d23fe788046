/** Says on standard error what is being done, with the seconds since now. */
export function progressSinceNow(): (what: string) => void {
  const begin_ms = performance.now();
  return (what) => {
    process.stderr.write(`${((performance.now() - begin_ms) / 1000).toFixed(1).padStart(6)} s  ${what}\n`);
  };
}

/** What the work gives; rejects at Ctrl-C, so that whoever called can clear up. */
export async function unlessInterrupted<T>(work: () => Promise<T>): Promise<T> {
  const interrupted = new Promise<never>((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.once(signal, () => reject(new Error(`Ended by ${signal}.`)));
  });
  return await Promise.race([interrupted, work()]);
}
