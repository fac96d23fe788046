/**
 * Repairs one kind of disagreement between what should be and what is. Takes no input: it re-reads all it needs, so it
 * may be run at any time and any number of times, and leaves what fails to the next pass.
 */
export interface Reconciler {
  /** For logs. */
  readonly name: string;
  /** One bounded batch of work. Answers whether it stopped at its bound, that is whether more waits right now. */
  reconcile(): Promise<boolean>;
}

/** Rows one reconciler works on in one transaction. */
export const batch_rows_max = 500;
