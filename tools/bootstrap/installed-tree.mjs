/** Tells whether node_modules already holds what package-lock.json asks for. */

/**
 * Compares a package-lock.json with the hidden lockfile that npm leaves in node_modules, so
 * that a tree which `npm install` has just brought up to date is not installed once more.
 * @param {{packages?: Record<string, object>}} lock
 * @param {{packages?: Record<string, object>}} installed node_modules/.package-lock.json
 * @returns {boolean}
 */
export function installedMatchesLock(lock, installed) {
  const wanted = lock.packages ?? {};
  const present = installed.packages ?? {};
  const missing = Object.entries(wanted).some(([path, entry]) => {
    if (path === '') return false;
    const found = present[path];
    // Optional packages of other platforms are never installed.
    if (found === undefined) return entry.optional !== true && entry.devOptional !== true;
    return found.version !== entry.version || found.integrity !== entry.integrity;
  });
  return !missing && Object.keys(present).every((path) => wanted[path] !== undefined);
}
