import { AsyncLocalStorage } from 'node:async_hooks';

/** For whom and within which trace the present work is done; follows every await. */
export interface AmbientContext {
  /** `user:<name>`, `service:<name>`, ... : who asked. */
  readonly actor: string;
  readonly traceparent: string;
}

/** Read it with `requestContext.getStore()`; undefined outside of any request. */
export const requestContext = new AsyncLocalStorage<AmbientContext>();

/** Runs `work` and everything it awaits under the context. */
export const runWithContext = <T>(context: AmbientContext, work: () => T): T =>
  requestContext.run(context, work);
