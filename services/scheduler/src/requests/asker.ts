/** Who asked, within which trace; the part of a request's context that business code needs. */
export interface Asker {
  readonly actor: string;
  readonly traceparent: string;
}
