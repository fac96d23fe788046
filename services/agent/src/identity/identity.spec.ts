import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { chmod, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Identity } from './identity.js';

describe('Identity', () => {
  let folder: string;
  beforeEach(async () => {
    folder = join(await mkdtemp(join(tmpdir(), 'tradefleet-identity-')), 'state');
  });
  afterEach(async () => {
    await rm(join(folder, '..'), { recursive: true, force: true });
  });

  it('keeps its keys and has a new incarnation at each start', async () => {
    const first = await Identity.load('h', folder);
    const second = await Identity.load('h', folder);
    expect(second.signingKey.publicJwk).toEqual(first.signingKey.publicJwk);
    expect(second.sealingKey.publicJwk).toEqual(first.sealingKey.publicJwk);
    expect(second.incarnation).not.toBe(first.incarnation);
    expect([second.actor, second.source]).toEqual(['host:h', '/agent/h']);
  });

  it('keeps them to itself', async () => {
    await Identity.load('h', folder);
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    for (const name of ['signing-key.jwk', 'sealing-key.jwk']) {
      expect((await stat(join(folder, name))).mode & 0o777).toBe(0o600);
    }
    await chmod(join(folder, 'signing-key.jwk'), 0o644);
    await expect(Identity.load('h', folder)).rejects.toThrow(/0600/);
  });
});
