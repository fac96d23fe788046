/**
 * A small client of the Docker Engine's HTTP API over its Unix socket. Paths carry no API
 * version: the engine then takes the newest it has, while a pinned one ages on both sides.
 */

import { request } from 'node:http';
import { StepFailure } from './failure.mjs';
import { LastLines } from './commands.mjs';

const ANSWER_TIMEOUT_MS = 10_000;
const ANSWER_BYTES_MAX = 4 * 1024 * 1024;

/** The engine answered with an error status. */
export class EngineRefusal extends StepFailure {
  constructor(message, { status, ...more }) {
    super(message, more);
    this.status = status;
  }
}

/** @param {string} socketPath */
export function engineAt(socketPath) {
  const call = (method, path, options = {}) => send(socketPath, method, path, options);
  return {
    socketPath,

    /** @returns {Promise<void>} @throws {StepFailure} with the socket error as its cause */
    async ping(timeoutMs = 2_000) {
      await call('GET', '/_ping', { timeoutMs });
    },

    /** @returns {Promise<{Version: string, ApiVersion: string, Os: string, Arch: string}>} */
    async version() {
      return JSON.parse(await call('GET', '/version'));
    },

    /** @param {string} reference @returns {Promise<{Id: string, RepoTags: string[]} | undefined>} */
    async image(reference) {
      try {
        return JSON.parse(await call('GET', `/images/${encodeReference(reference)}/json`));
      } catch (error) {
        if (error instanceof EngineRefusal && error.status === 404) return undefined;
        throw error;
      }
    },

    /** @param {string} repository @returns {Promise<{Id: string, RepoTags: string[] | null, Created: number}[]>} */
    async imagesOf(repository) {
      const filters = encodeURIComponent(JSON.stringify({ reference: [repository] }));
      return JSON.parse(await call('GET', `/images/json?filters=${filters}`));
    },

    /** Containers in any state that were made from an image. @param {string} imageId */
    async containersOf(imageId) {
      const filters = encodeURIComponent(JSON.stringify({ ancestor: [imageId] }));
      return JSON.parse(await call('GET', `/containers/json?all=1&filters=${filters}`));
    },

    /** Removes a tag, and the image with its last tag. Never by force. @param {string} reference */
    async removeImage(reference) {
      await call('DELETE', `/images/${encodeReference(reference)}?force=false&noprune=false`, {
        timeoutMs: 60_000,
      });
    },

    /**
     * @param {string} repository @param {string} tag
     * @param {{totalMs: number, silenceMs: number, onProgress: (text: string) => void}} limits
     */
    async pull(repository, tag, { totalMs, silenceMs, onProgress }) {
      const path = `/images/create?${new URLSearchParams({ fromImage: repository, tag })}`;
      await call('POST', path, { timeoutMs: silenceMs, totalMs, onMessage: readProgress(onProgress) });
    },

    /**
     * @param {import('node:stream').Readable} rootTar the tree of the new image
     * @param {{repository: string, tag: string, changes: string[], message: string, timeoutMs: number}} image
     */
    async importImage(rootTar, { repository, tag, changes, message, timeoutMs }) {
      const query = new URLSearchParams({ fromSrc: '-', repo: repository, tag, message });
      changes.forEach((change) => query.append('changes', change));
      await call('POST', `/images/create?${query}`, {
        timeoutMs,
        body: rootTar,
        type: 'application/x-tar',
        onMessage: readProgress(() => {}),
      });
    },

    /**
     * @param {Buffer} context a tar archive
     * @param {{dockerfile: string, tag: string, buildArguments: Record<string, string>, labels?: Record<string, string>,
     *   networkMode?: string, timeoutMs: number, onProgress: (text: string) => void}} build
     * @returns {Promise<void>} @throws {StepFailure} with the last lines of the build
     */
    async build(
      context,
      { dockerfile, tag, buildArguments, labels = {}, networkMode, timeoutMs, onProgress },
    ) {
      const query = new URLSearchParams({ dockerfile, t: tag, rm: '1', forcerm: '1' });
      query.set('buildargs', JSON.stringify(buildArguments));
      query.set('labels', JSON.stringify(labels));
      if (networkMode) query.set('networkmode', networkMode);
      await call('POST', `/build?${query}`, {
        timeoutMs,
        totalMs: timeoutMs,
        body: context,
        type: 'application/x-tar',
        onMessage: readProgress(onProgress),
      });
    },
  };
}

/** Slashes separate the parts of an image's name and stay; everything else is escaped. */
function encodeReference(reference) {
  return reference.split('/').map(encodeURIComponent).join('/');
}

/**
 * Reads the stream of JSON messages that pull, import and build answer with.
 * The status is 200 even when they fail: the failure is a message.
 */
function readProgress(onProgress) {
  const last = new LastLines();
  return (message) => {
    if (message.error !== undefined) {
      throw new StepFailure(`The Docker Engine says: ${String(message.error).trim()}`, {
        output: last.toString(),
      });
    }
    const text = message.stream ?? [message.status, message.id, message.progress].filter(Boolean).join(' ');
    last.push(text.endsWith('\n') ? text : `${text}\n`).forEach(onProgress);
  };
}

function send(socketPath, method, path, { timeoutMs = ANSWER_TIMEOUT_MS, totalMs, body, type, onMessage }) {
  return new Promise((resolve, reject) => {
    const headers = type ? { 'content-type': type } : {};
    if (Buffer.isBuffer(body)) headers['content-length'] = body.length;
    const signal = totalMs ? AbortSignal.timeout(totalMs) : undefined;
    const call = request({ socketPath, method, path, headers, timeout: timeoutMs, signal });
    const what = `${method} ${path.split('?')[0]}`;
    const fail = (error) => {
      reject(
        error instanceof StepFailure
          ? error
          : new StepFailure(`${what}: ${reasonOf(error)}`, { cause: error }),
      );
      call.destroy();
    };
    call.on('timeout', () => fail(new Error(`no answer from the Docker Engine for ${timeoutMs / 1000} s`)));
    call.on('error', fail);
    call.on('response', (response) => receive(response, { what, onMessage }).then(resolve, fail));
    if (body === undefined || Buffer.isBuffer(body)) {
      call.end(body);
    } else {
      body.on('error', fail);
      body.pipe(call);
    }
  });
}

function reasonOf(error) {
  return error.name === 'TimeoutError' || error.code === 'ABORT_ERR'
    ? 'it took too long'
    : (error.code ?? error.message);
}

/** Reads an answer; hands each line of it to `onMessage` as JSON when there is one. */
async function receive(response, { what, onMessage }) {
  response.setEncoding('utf8');
  let text = '';
  const refused = response.statusCode >= 400;
  for await (const chunk of response) {
    text += chunk;
    if (onMessage && !refused) {
      const lines = text.split('\n');
      text = lines.pop();
      lines.filter((line) => line.trim() !== '').forEach((line) => onMessage(JSON.parse(line)));
    }
    if (text.length > ANSWER_BYTES_MAX)
      throw new StepFailure(`${what}: the Docker Engine's answer is too long`);
  }
  if (refused) {
    throw new EngineRefusal(`The Docker Engine refused ${what}: ${messageIn(text)}`, {
      status: response.statusCode,
    });
  }
  if (onMessage && text.trim() !== '') onMessage(JSON.parse(text));
  return text;
}

function messageIn(text) {
  try {
    return JSON.parse(text).message ?? text;
  } catch {
    return text.slice(0, 500);
  }
}
