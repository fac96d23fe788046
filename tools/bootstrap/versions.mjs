/** Compares version numbers of programs. */

/**
 * @param {string} text anything that has a version number in it, such as `nats-server: v2.15.2`
 * @returns {[number, number, number] | undefined}
 */
export function readVersion(text) {
  const found = /(\d+)\.(\d+)(?:\.(\d+))?/.exec(text);
  return found ? [Number(found[1]), Number(found[2]), Number(found[3] ?? 0)] : undefined;
}

/** @param {readonly number[] | undefined} version @param {readonly number[]} least */
export function isAtLeast(version, least) {
  if (version === undefined) return false;
  for (const [index, part] of least.entries()) {
    if (version[index] !== part) return version[index] > part;
  }
  return true;
}
