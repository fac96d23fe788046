/** Downloads a file and accepts it only with the expected SHA-256. */

import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { Readable, Transform } from 'node:stream';
import { StepFailure } from './failure.mjs';

const DOWNLOAD_TIMEOUT_MS = 5 * 60_000;
const DOWNLOAD_BYTES_MAX = 128 * 1024 * 1024;

/**
 * @param {ReturnType<import('./machine.mjs').thisMachine>} machine
 * @param {{url: string, sha256: string, to: string, progress: (text: string) => void}} wanted
 * @throws {StepFailure} when it cannot be had, or is not what was expected
 */
export async function download(machine, { url, sha256, to, progress }) {
  // Node's own fetch does not heed the proxy variables on every version we support; curl does.
  const curl = usesProxy(machine.env) ? machine.which('curl') : undefined;
  if (curl) await downloadWithCurl(machine, curl, url, to);
  else await downloadWithFetch(url, to, progress);
  const found = await sha256Of(to);
  if (found !== sha256) {
    throw new StepFailure(`${url} has the SHA-256 ${found} and not the pinned ${sha256}. It was not used.`);
  }
}

function usesProxy(env) {
  return ['https_proxy', 'HTTPS_PROXY', 'all_proxy', 'ALL_PROXY'].some((name) => env[name]);
}

async function downloadWithCurl(machine, curl, url, to) {
  const limits = [
    '--max-filesize',
    String(DOWNLOAD_BYTES_MAX),
    '--max-time',
    String(DOWNLOAD_TIMEOUT_MS / 1000),
  ];
  const args = ['--fail', '--silent', '--show-error', '--location', '--proto', '=https', ...limits];
  await machine.run(curl, [...args, '--output', to, url], { timeoutMs: DOWNLOAD_TIMEOUT_MS + 5_000 });
}

async function downloadWithFetch(url, to, progress) {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(DOWNLOAD_TIMEOUT_MS) });
    if (!response.ok || response.body === null) throw new Error(`the server answered ${response.status}`);
    await pipeline(
      Readable.fromWeb(response.body),
      counting(progress),
      createWriteStream(to, { mode: 0o600 }),
    );
  } catch (error) {
    const reason = error.cause?.code ?? error.message;
    throw new StepFailure(`${url} could not be downloaded: ${reason}.`, { cause: error });
  }
}

function counting(progress) {
  let bytes = 0;
  return new Transform({
    transform(chunk, _encoding, done) {
      bytes += chunk.length;
      progress(`${(bytes / 1e6).toFixed(1)} MB`);
      done(bytes > DOWNLOAD_BYTES_MAX ? new Error('it is larger than expected') : null, chunk);
    },
  });
}

/** @param {string} path @returns {Promise<string>} hex */
export async function sha256Of(path) {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}
