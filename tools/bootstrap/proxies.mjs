/** The HTTP proxy of this machine, for what is downloaded while an image is made. */

import { StepFailure } from './failure.mjs';

const ASK_TIMEOUT_MS = 10_000;
const NAMES = ['http_proxy', 'https_proxy', 'no_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY'];

/**
 * The proxy variables that are set; on Debian also the proxy that apt is configured with.
 * Docker predefines these names as build arguments and keeps them out of the image's history.
 * @param {ReturnType<import('./machine.mjs').thisMachine>} machine
 * @returns {Promise<Record<string, string>>}
 */
export async function proxyVariables(machine) {
  const set = Object.fromEntries(
    NAMES.filter((name) => machine.env[name]).map((name) => [name, machine.env[name]]),
  );
  if (set.http_proxy || set.HTTP_PROXY || !machine.isDebian) return set;
  const proxy = await aptProxy(machine);
  return proxy ? { ...set, http_proxy: proxy } : set;
}

async function aptProxy(machine) {
  try {
    const shell = await machine.run('/usr/bin/apt-config', ['shell', 'PROXY', 'Acquire::http::Proxy'], {
      timeoutMs: ASK_TIMEOUT_MS,
    });
    const proxy = /^PROXY='([^']*)'/m.exec(shell)?.[1] ?? '';
    return /^https?:\/\//.test(proxy) ? proxy : '';
  } catch (error) {
    if (error instanceof StepFailure) return '';
    throw error;
  }
}

/**
 * A proxy on the machine's own loopback can be reached from a build only in the machine's network.
 * @param {Record<string, string>} variables
 * @returns {'host' | undefined} the network mode of a build
 */
export function networkModeFor(variables) {
  const isLocal = (value) => /^(https?:\/\/)?([^@/]*@)?(localhost|127\.|\[::1\])/i.test(value);
  const proxies = Object.entries(variables).filter(([name]) => name.toLowerCase() !== 'no_proxy');
  return proxies.some(([, value]) => isLocal(value)) ? 'host' : undefined;
}
