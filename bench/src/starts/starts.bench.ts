import { testDocker } from '#libs/testing';
import Docker from 'dockerode';
import type { Agent } from 'node:http';
import { progressSinceNow, unlessInterrupted } from '../bench.frame.js';
import { OpaqueAgent } from '../../../services/agent/src/drivers/docker/opaque-agent.js';
import { AgentSide } from './agent.side.js';
import { IdleImage } from './idle.image.js';
import { RawSide } from './raw.side.js';
import { reportOf, type Round, type StartsResult } from './report.js';

export interface StartsArguments {
  readonly containers: number;
  readonly rounds: number;
  readonly parallel: readonly number[];
  readonly json: boolean;
}

const warm_up_containers = 4;
const resources = { cpuMillis: 250, memoryMiB: 64, pids: 32 };

/**
 * Measures how fast one host starts containers, by the agent and by nothing but dockerode, on the same engine in the
 * same run. Each round does every variant once, in an order that turns round, and removes all of it before the next.
 */
export async function startsBench(options: StartsArguments): Promise<void> {
  const { containers, rounds, parallel } = options;
  const progress = progressSinceNow();
  const { socketPath, paperImage } = testDocker();
  if (paperImage === null) throw new Error('No paper image yet: run `node tools/bootstrap.mjs --for test`.');
  // Without it dockerode is slower: for the raw side, too, the best there is.
  const dockerOptions: Docker.DockerOptions & { agent: Agent } = { socketPath, agent: new OpaqueAgent() };
  const docker = new Docker(dockerOptions);
  const image = await IdleImage.make(docker, paperImage.ref);
  const raw = new RawSide(docker, image.reference, resources);
  const agent = await AgentSide.start(
    docker,
    { dockerSocket: socketPath, images: { paper: image.reference } },
    resources,
  );
  try {
    const result = await unlessInterrupted(measure);
    console.log(options.json ? JSON.stringify(result, null, 2) : `\n${reportOf(result)}`);
  } finally {
    progress('everything ends');
    await agent.close();
    await raw.close();
    await image.remove();
  }

  async function measure(): Promise<StartsResult> {
    progress('warm-up');
    await agent.run(warm_up_containers);
    await raw.run(warm_up_containers, 2);
    await raw.clear();
    const measured: Round[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const variants = [null, ...parallel];
      const order = round % 2 === 0 ? variants : variants.reverse();
      const rates = new Map<number | null, number>();
      for (const variant of order) {
        const elapsed_ms =
          variant === null ? await agent.run(containers) : await raw.run(containers, variant);
        if (variant !== null) await raw.clear();
        const rate = (containers / elapsed_ms) * 1000;
        rates.set(variant, rate);
        progress(
          `round ${round + 1}: ${variant === null ? 'agent' : `raw, ${variant} at a time`}: ${rate.toFixed(2)}/s`,
        );
      }
      measured.push({
        agent_per_s: rates.get(null) ?? 0,
        raw_per_s: Object.fromEntries(parallel.map((count) => [String(count), rates.get(count) ?? 0])),
      });
    }
    const { Version } = await docker.version();
    return { engine: Version, containers, rounds: measured };
  }
}
