import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { hasEnded, type Rollout } from '#libs/contracts';
import { testDocker, uniqueName, waitFor } from '#libs/testing';
import { DockerEngine } from './testing/docker.engine.js';
import { FleetHarness } from './testing/fleet.harness.js';
import { aManifest, manyBots } from './testing/manifests.js';

/** One change to all bots of a tenant, in containers: a version that runs, and one that does not. */
describe('a rollout', () => {
  const bots = 4;
  const manifest = aManifest(manyBots(bots));
  const tenant = manifest.tenants[0]?.name ?? '';
  const names = (manifest.tenants[0]?.bots ?? []).map(({ name }) => name).sort();
  const engine = new DockerEngine();
  const images: string[] = [];
  let fleet: FleetHarness;

  beforeAll(async () => {
    const { paperImage } = testDocker();
    if (paperImage === null)
      throw new Error('There is no bot image. Run `node tools/bootstrap.mjs --for test`.');
    const broken = await engine.imageRunning(paperImage.ref, uniqueName('broken'), ['/bin/false']);
    images.push(broken);
    const offer = { 'paper@v2': paperImage.ref, 'paper@broken': broken };
    fleet = await FleetHarness.start({ driver: 'docker', manifest, offer });
  }, 240_000);
  afterAll(async () => {
    await fleet.stop();
    for (const image of images) await engine.removeImage(image);
  }, 180_000);

  async function rollOut(version: string): Promise<Rollout> {
    const request = {
      selector: { tenant },
      change: { version },
      options: { minHealthyMs: 1000, batchSize: 2, progressDeadlineMs: 120_000 },
    };
    const plan = await fleet.gateway.call('rollouts.plan', request);
    expect(plan.bots.map(({ restarts }) => restarts)).toEqual(names.map(() => true));
    const { id } = await fleet.gateway.call('rollouts.create', { ...request, version: plan.version });
    return await waitFor(
      async () => {
        const rollout = await fleet.gateway.call('rollouts.get', { id });
        return hasEnded(rollout.state) ? rollout : null;
      },
      { timeoutMs: 150_000, what: `the rollout of ${version}` },
    );
  }
  const standing = async () =>
    await Promise.all(
      names.map(async (name) => {
        const { generation, version, status } = await fleet.bot(name);
        return { name, generation, version, phase: status.phase, allocation: status.allocation?.id };
      }),
    );

  it('of a broken version ends with its canary; the containers of all others run on', async () => {
    const before = await standing();
    const containers = (await engine.containers(fleet.name)).map(({ id }) => id);
    const rollout = await rollOut('broken');
    const canary = rollout.targets[0]?.bot;
    expect(rollout).toMatchObject({
      state: 'reverted',
      reason: `The canary ${canary} failed.`,
      progress: { reverted: 1, waiting: bots - 1 },
    });
    const after = await standing();
    expect(after.filter(({ name }) => name !== canary)).toEqual(before.filter(({ name }) => name !== canary));
    const was = before.find(({ name }) => name === canary);
    expect(after.find(({ name }) => name === canary)).toMatchObject({
      version: was?.version,
      generation: (was?.generation ?? 0) + 2,
      phase: 'running',
    });
    const still = (await engine.containers(fleet.name)).filter(
      ({ id, state }) => containers.includes(id) && state === 'running',
    );
    expect(still.map(({ id }) => id)).toHaveLength(bots - 1);
    await fleet.untilAudited({ rollout: rollout.id }, [
      'rollout.created',
      'rollout.batch-started',
      'rollout.reverting',
      'rollout.reverted',
    ]);
  }, 200_000);

  it('of a good version replaces every bot, on the host where its volume is', async () => {
    const hosts = async () =>
      await Promise.all(names.map(async (name) => (await fleet.bot(name)).status.host));
    const before = await hosts();
    const rollout = await rollOut('v2');
    expect(rollout).toMatchObject({ state: 'succeeded', progress: { healthy: bots } });
    expect((await standing()).every(({ version, phase }) => version === 'v2' && phase === 'running')).toBe(
      true,
    );
    expect(await hosts()).toEqual(before);
  }, 200_000);
});
