/**
 * Builds the paper bot's image under a tag made from the content of everything in it, so that
 * the same sources are never built twice and other sources never under the same name.
 */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BASE_IMAGE } from './base-image.step.mjs';
import { contentHash, runtimeFiles } from './bot-sources.mjs';
import { EngineRefusal } from './engine-api.mjs';
import { StepFailure } from './failure.mjs';
import { networkModeFor, proxyVariables } from './proxies.mjs';
import { tarOf } from './tar.mjs';

export const PAPER_REPOSITORY = 'tradefleet/paper-bot';
const DOCKERFILE = 'docker/paper-bot.Dockerfile';
const ENTRY = 'bot-fourni/supervisor.py';
const BUILD_TIMEOUT_MS = 10 * 60_000;
/** Older images of the paper bot beyond these are removed when no container uses them. */
const IMAGES_KEPT = 3;
const CONFLICT = 409;
const NOT_FOUND = 404;

export const paperImageStep = {
  name: 'paper-image',

  /** @returns {Promise<string>} */
  async run(context) {
    const { engine, record, root } = context;
    if (!existsSync(join(root, ENTRY)))
      throw new StepFailure(`${ENTRY} is missing: the working tree is not complete.`);
    const dockerfile = readFileSync(join(root, DOCKERFILE));
    const files = runtimeFiles(root);
    const version = `src-${contentHash(files, [dockerfile.toString('utf8'), context.baseImageId])}`;
    const reference = `${PAPER_REPOSITORY}:${version}`;

    let image = await engine.image(reference);
    const how = image ? 'present' : 'built';
    if (!image) {
      await build(context, [{ path: DOCKERFILE, content: dockerfile }, ...files], version);
      image = await engine.image(reference);
      if (!image) throw new StepFailure(`${reference} was built, but the Docker Engine does not have it.`);
      await removeOld(engine, reference);
    }
    record.images = { ...record.images, paper: { ref: reference, id: image.Id } };
    return `${reference} ${how}`;
  },
};

async function build({ engine, machine, reporter }, context, version) {
  const proxies = await proxyVariables(machine);
  reporter.doing(`building ${PAPER_REPOSITORY}:${version}`);
  try {
    await engine.build(tarOf(context), {
      dockerfile: DOCKERFILE,
      tag: `${PAPER_REPOSITORY}:${version}`,
      buildArguments: { ...proxies, BASE: BASE_IMAGE, VERSION: version },
      networkMode: networkModeFor(proxies),
      timeoutMs: BUILD_TIMEOUT_MS,
      onProgress: (line) => reporter.progress(`building: ${line}`),
    });
  } catch (error) {
    if (error instanceof StepFailure) {
      error.remedy ??= `Try it by hand: docker build -f ${DOCKERFILE} . If apt-get cannot reach its mirror from the build, see "A build has no network" in docs/INSTALLATION.md.`;
    }
    throw error;
  }
}

/** @param {ReturnType<import('./engine-api.mjs').engineAt>} engine @param {string} current the reference to keep whatever its age */
export async function removeOld(engine, current) {
  const images = await engine.imagesOf(PAPER_REPOSITORY);
  const newestFirst = [...images].sort((a, b) => b.Created - a.Created);
  for (const image of newestFirst.slice(IMAGES_KEPT)) {
    const tags = image.RepoTags ?? [];
    if (tags.includes(current) || (await engine.containersOf(image.Id)).length > 0) continue;
    for (const tag of tags.filter((each) => each.startsWith(`${PAPER_REPOSITORY}:src-`))) {
      await removeUnused(engine, tag);
    }
  }
}

async function removeUnused(engine, tag) {
  try {
    await engine.removeImage(tag);
  } catch (error) {
    // Somebody began to use it, or removed it, since we looked.
    if (!(error instanceof EngineRefusal && [CONFLICT, NOT_FOUND].includes(error.status))) throw error;
  }
}
