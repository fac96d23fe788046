/** An event as its producer numbered it. */
export interface NumberedEvent {
  readonly id: string;
  readonly incarnation: string;
  readonly sequence: number;
}

/** How far a producer is. */
export interface ProducerState {
  /** Written durably, whatever became of it. */
  readonly written: number;
  /** Written and not yet known to be recorded. */
  readonly kept: number;
  /** Published again because they did not reach the log. */
  readonly refilled: number;
}

/** Who writes events as a part of the fleet does, and remembers each by itself for the end. */
export interface EventProducer {
  /** As events name it. */
  readonly source: string;
  /** Writes one batch and gives how many events are durable by it. While its storage is away it throws `StorageAway`. */
  write(count: number): Promise<number>;
  /** Events it has written, known or not to be recorded. Throws `StorageAway`. */
  state(): Promise<ProducerState>;
  /** Every event it has written, from a record that nothing else reads. */
  journal(): Promise<readonly NumberedEvent[]>;
  /** Ends what is under way. */
  stop(): Promise<void>;
}

/** Where a producer keeps its events cannot be reached at the moment; nothing, or all of what was asked, was written. */
export class StorageAway extends Error {
  override readonly name = 'StorageAway';
}
