/** The `code` of a system error (ENOENT, ECONNREFUSED, ...), or null. */
export function errorCode(error: unknown): string | null {
  // Not by class: an error may come from another realm, a worker's or a test's.
  if (typeof error !== 'object' || error === null || !('code' in error)) return null;
  return typeof error.code === 'string' ? error.code : null;
}
