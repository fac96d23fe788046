import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CredentialsFile, ProblemError } from '#libs/contracts';
import { startNats, waitFor, type TestNats } from '#libs/testing';
import { AgentFixture } from '../../testing/agent.fixture.js';

describe('FetchGrantHook', () => {
  let nats: TestNats;
  let fixture: AgentFixture;

  beforeAll(async () => {
    nats = await startNats();
  });
  afterAll(async () => {
    await nats.stop();
  });
  beforeEach(async () => {
    fixture = await AgentFixture.make(nats.url);
  });
  afterEach(async () => {
    await fixture.close();
  });

  /** Bots of this host never log in, so that their credentials stay. */
  const silent = () => fixture.driver({ stages: ['container'] });

  it('puts the password where the bot alone can read it, and nowhere else', async () => {
    await fixture.start({}, silent());
    const command = fixture.command();
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(command.allocation, 'stage-reached');
    const path = join(fixture.runDir(command.allocation), 'credentials.json');
    const written = CredentialsFile.parse(JSON.parse(await readFile(path, 'utf8')));
    expect(written).toMatchObject({
      allocation: command.allocation,
      epoch: command.epoch,
      login: command.login,
      server: command.server,
      password: fixture.scheduler.password,
    });
    expect((await stat(path)).mode & 0o777).toBe(0o400);
    expect(fixture.scheduler.grants).toEqual([
      {
        host: fixture.host,
        allocation: command.allocation,
        account: command.account,
        epoch: command.epoch,
        token: command.token,
      },
    ]);
    for (const name of await readdir(fixture.stateDir)) {
      expect(await readFile(join(fixture.stateDir, name), 'latin1')).not.toContain(
        fixture.scheduler.password,
      );
    }
    expect(JSON.stringify(fixture.scheduler.events)).not.toContain(fixture.scheduler.password);
  });

  it('asks again when the secrets service is away for a while', async () => {
    fixture.scheduler.grantRefusals = [
      new ProblemError('unavailable', 'Try again.'),
      new ProblemError('credentials_missing', 'Set them.'),
    ];
    await fixture.start();
    const command = fixture.command();
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(command.allocation, 'running');
    expect(fixture.scheduler.grants).toHaveLength(3);
  });

  it('ends the allocation when the grant is refused, and leaves nothing', async () => {
    fixture.scheduler.grantRefusals = [new ProblemError('stale_epoch', 'The epoch has passed.')];
    await fixture.start();
    const command = fixture.command();
    await fixture.scheduler.send(command);
    expect(await fixture.scheduler.heard(command.allocation, 'failed')).toMatchObject({
      reason: 'grant-refused',
      detail: 'stale_epoch: The epoch has passed.',
    });
    await waitFor(async () => (await fixture.files(command.allocation)).length === 0);
    expect(fixture.engine.ofHost(fixture.host)).toHaveLength(0);
  });

  it('takes no credentials of another account', async () => {
    fixture.scheduler.grantedLogin = 1;
    await fixture.start();
    const command = fixture.command();
    await fixture.scheduler.send(command);
    expect(await fixture.scheduler.heard(command.allocation, 'failed')).toMatchObject({
      reason: 'grant-refused',
    });
  });
});
