import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { waitFor } from '#libs/testing';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { chmod, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FleetHarness } from './testing/fleet.harness.js';
import { aManifest, manyBots } from './testing/manifests.js';

/** Real agents, which join by the tokens that the launcher asks for. */
describe('a host', () => {
  const manifest = aManifest(manyBots(3));
  const bots = manifest.tenants[0]?.bots?.map(({ name }) => name) ?? [];
  const hosts = ['host-a', 'host-b', 'host-c'];
  let fleet: FleetHarness;

  beforeAll(async () => {
    fleet = await FleetHarness.start({ driver: 'simulated', hosts: hosts.length, manifest });
  }, 240_000);
  afterAll(async () => {
    await fleet.stop();
  }, 180_000);

  /** A service does not start with a password that others can read: so it stays dead until that is put right. */
  const keepDown = (host: string) => chmod(fleet.keyPath(`nats-agent-${host}-password`), 0o644);
  const letUp = (host: string) => chmod(fleet.keyPath(`nats-agent-${host}-password`), 0o600);
  const hostNamed = async (name: string) => await fleet.gateway.call('hosts.get', { name });
  const untilState = async (name: string, state: string) =>
    await waitFor(async () => (await hostNamed(name)).state === state, {
      timeoutMs: 60_000,
      what: `${name} to be ${state}`,
    });
  const refusal = async (work: Promise<unknown>): Promise<string> =>
    await work.then(
      () => 'none',
      (error: unknown) => (error as { code: string }).code,
    );
  const tokenOf = (host: string): string => fleet.secret(`join-token-${host}`);

  it('joins by a token that is found nowhere else', async () => {
    for (const host of hosts) {
      await fleet.untilAudited({ host }, ['host.invited', 'host.registered']);
      const { fingerprint } = await hostNamed(host);
      expect(fingerprint).toMatchObject({ agentVersion: expect.any(String), diskMiB: expect.any(Number) });
    }
    const kept = readdirSync(fleet.state, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !entry.name.startsWith('join-token-'))
      .map((entry) => join(entry.parentPath, entry.name));
    expect(kept.length).toBeGreaterThan(100);
    const found = kept.filter((path) => {
      const bytes = readIfThere(path);
      return bytes !== null && hosts.some((host) => bytes.includes(tokenOf(host)));
    });
    expect(found).toEqual([]);
  });

  it('is not what another machine with its name says it is, until it was invited to replace it', async () => {
    const host = 'host-c';
    const { signingKey: before } = await hostNamed(host);
    await keepDown(host);
    await fleet.kill(`agent-${host}`);
    // The machine is installed anew: keys and memory of the agent are gone.
    await rm(join(fleet.state, 'hosts', host), { recursive: true });
    expect(await refusal(fleet.gateway.call('hosts.invite', { name: host, replaceKey: true }))).toBe(
      'invalid_transition',
    );
    await untilState(host, 'down');
    for (const bot of bots) expect((await fleet.untilRuns(bot)).host).not.toBe(host);

    await letUp(host);
    // It has the old token, which was used.
    await fleet.untilAudited({ host }, ['host.down', 'host.join-refused']);
    expect((await hostNamed(host)).signingKey).toEqual(before);
    await keepDown(host);
    const { token } = await fleet.gateway.call('hosts.invite', { name: host, replaceKey: true });
    writeFileSync(fleet.keyPath(`join-token-${host}`), token ?? '', { mode: 0o600 });
    await fleet.kill(`agent-${host}`);
    await letUp(host);
    await untilState(host, 'ready');
    expect((await hostNamed(host)).signingKey).not.toEqual(before);
  }, 180_000);

  it('is forgotten when it is removed, and comes back by an invitation only', async () => {
    const host = 'host-b';
    await fleet.gateway.call('hosts.drain', { name: host, reason: 'it is sold' });
    await waitFor(async () => (await hostNamed(host)).reserved.bots === 0, {
      timeoutMs: 60_000,
      what: `${host} to be empty`,
    });
    expect(await refusal(fleet.gateway.call('hosts.remove', { name: host }))).toBe('invalid_transition');
    await keepDown(host);
    await fleet.kill(`agent-${host}`);
    await untilState(host, 'down');
    expect((await fleet.gateway.call('hosts.remove', { name: host, reason: 'sold' })).name).toBe(host);
    expect(await refusal(hostNamed(host))).toBe('host_not_found');

    const { token } = await fleet.gateway.call('hosts.invite', { name: host });
    writeFileSync(fleet.keyPath(`join-token-${host}`), token ?? '', { mode: 0o600 });
    await letUp(host);
    await waitFor(async () => (await refusal(hostNamed(host))) === 'none', {
      timeoutMs: 60_000,
      what: `${host} to join again`,
    });
    await untilState(host, 'ready');
    await fleet.untilAudited({ host }, ['host.removed', 'host.invited', 'host.registered']);
    for (const bot of bots) await fleet.untilRuns(bot);
  }, 180_000);
});

/** Null when it has gone meanwhile: the servers are at work. */
function readIfThere(path: string): Buffer | null {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
