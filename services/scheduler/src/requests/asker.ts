/** Who asked, within which trace; the part of a request's context that business code needs. */
export interface Asker {
  readonly actor: string;
  readonly traceparent: string;
}

/** Nothing else of the context: an asker is spread into events. */
export const askerOf = ({ actor, traceparent }: Asker): Asker => ({ actor, traceparent });
