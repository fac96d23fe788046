import type { FastifyRequest } from 'fastify';

const callers = new WeakMap<object, string>();

/** Remembers who a request's credentials belong to; only the guard does. */
export function setCaller(request: FastifyRequest, actor: string): void {
  callers.set(request, actor);
}

/** Null before a guard has let the request through. */
export const knownCallerOf = (request: FastifyRequest): string | null => callers.get(request) ?? null;

/** Who asks. A request that no guard has let through has no caller, which is a defect. */
export function callerOf(request: FastifyRequest): string {
  const actor = callers.get(request);
  if (actor === undefined) throw new Error('A request without a caller reached a handler');
  return actor;
}
