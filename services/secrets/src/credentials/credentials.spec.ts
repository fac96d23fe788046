import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { seal, SealingKey } from '#libs/messaging';
import { streams } from '#libs/contracts';
import { uniqueName, waitFor } from '#libs/testing';
import { SecretsFixture } from '../testing/secrets.fixture.js';

describe('credentials', () => {
  let fleet: SecretsFixture;
  beforeAll(async () => {
    fleet = await SecretsFixture.start();
  });
  afterAll(async () => {
    await fleet.stop();
  });

  const versions = async (account: string) =>
    await fleet.sql('SELECT version FROM secrets.credentials WHERE account = $1', [account]);

  it('are set by sealing them to the key of the service; an event says who did', async () => {
    const account = fleet.anAccount();
    const status = await fleet.setPassword(account, 'the broker password');
    expect(status).toMatchObject({ account, version: 1, updatedBy: 'user:ada', lastGrantedAt: null });
    await expect(fleet.ask('credentials.status', { account })).resolves.toEqual(status);
    expect(await fleet.events(account)).toEqual([
      { type: 'tradefleet.credential.set', actor: 'user:ada', data: { account, version: 1 } },
    ]);
  });

  it('get no new version and no event by the same password', async () => {
    const account = fleet.anAccount();
    const first = await fleet.setPassword(account, 'same');
    await expect(fleet.setPassword(account, 'same')).resolves.toEqual(first);
    await expect(fleet.setPassword(account, 'other')).resolves.toMatchObject({ version: 2 });
    expect((await fleet.events(account)).map(({ data }) => data['version'])).toEqual([1, 2]);
  });

  it('have a key that stays the same, of which the private half stays here', async () => {
    const first = await fleet.ask('credentials.key', {});
    expect(first.key).toMatchObject({ kty: 'OKP', crv: 'X25519' });
    expect(Object.keys(first.key).sort()).toEqual(['crv', 'kid', 'kty', 'x']);
    await expect(fleet.ask('credentials.key', {})).resolves.toEqual(first);
  });

  it('say that they are missing as long as nobody set them', async () => {
    const account = fleet.anAccount();
    const problem = await fleet.refusal('credentials.status', { account });
    expect(problem.code).toBe('credentials_missing');
    expect(problem.detail).toContain(account);
    const actor = `user:${uniqueName('reader')}`;
    await fleet.refusal('credentials.status', { account }, actor);
    const told = await waitFor(
      async () => {
        const rows = await fleet.sql<{ type: string }>(
          `SELECT event ->> 'type' AS type FROM secrets.outbox WHERE event ->> 'actor' = $1`,
          [actor],
        );
        return rows.length > 0 ? rows : null;
      },
      { what: 'the event of the refusal' },
    );
    expect(told).toEqual([{ type: 'tradefleet.request.read-refused' }]);
  });

  describe('are refused, change nothing and leave an event,', () => {
    const refused = async (account: string, sealed: string): Promise<string> => {
      const actor = `user:${uniqueName('eve')}`;
      const problem = await fleet.refusal('credentials.set', { account, sealed }, actor);
      expect(await versions(account)).toEqual([]);
      const recorded = await waitFor(
        async () =>
          await fleet
            .sql<{ body: string }>(
              `SELECT body FROM secrets.outbox WHERE event ->> 'actor' = $1
                AND event ->> 'type' = 'tradefleet.request.refused'`,
              [actor],
            )
            .then((rows) => rows[0]),
        { what: 'the event of the refusal' },
      );
      const { code, detail } = problem;
      expect(JSON.parse(recorded.body)).toEqual({ operation: 'credentials.set', code, detail });
      return code;
    };

    it('when sealed to another key', async () => {
      const account = fleet.anAccount();
      const content = Buffer.from(JSON.stringify({ account, password: 'lost' }));
      const sealed = await seal(content, (await SealingKey.generate()).publicJwk);
      expect(await refused(account, sealed)).toBe('invalid_request');
    });

    it('when sealed for another account', async () => {
      const account = fleet.anAccount();
      expect(await refused(account, await fleet.sealed(fleet.anAccount(), 'elsewhere'))).toBe(
        'invalid_request',
      );
    });

    it.each([
      ['no JSON', 'canary, honestly'],
      ['JSON of another kind', '["canary"]'],
      ['an empty password', JSON.stringify({ account: 'a', password: '' })],
      ['a password without end', JSON.stringify({ account: 'a', password: 'canary'.repeat(50) })],
      ['more than there should be', JSON.stringify({ account: 'a', password: 'canary', more: 1 })],
    ])('when what was sealed is %s, and none of it is quoted', async (_, content) => {
      const account = fleet.anAccount();
      const sealed = await fleet.sealedText(content);
      expect(await refused(account, sealed)).toBe('invalid_request');
      const problem = await fleet.refusal('credentials.set', { account, sealed });
      expect(JSON.stringify(problem)).not.toContain('canary');
    });

    it('when not sealed at all', async () => {
      expect(await refused(fleet.anAccount(), 'a password in the clear')).toBe('invalid_request');
    });

    it('when the account is not known', async () => {
      const account = uniqueName('account');
      expect(await refused(account, await fleet.sealed(account, 'for nobody'))).toBe('account_not_found');
    });

    it('when the scheduler does not answer whether there is the account', async () => {
      const alone = await SecretsFixture.start();
      try {
        const account = alone.anAccount();
        const sealed = await alone.sealed(account, 'not yet');
        await alone.schedulerGoes();
        await expect(alone.refusal('credentials.set', { account, sealed })).resolves.toMatchObject({
          code: 'unavailable',
        });
        await expect(alone.sql('SELECT FROM secrets.credentials')).resolves.toEqual([]);
      } finally {
        await alone.stop();
      }
    });
  });

  it('are found nowhere: no log line, event, message, table or file holds a password', async () => {
    const canary = `canary-${randomBytes(12).toString('hex')}`;
    const forms = [
      canary,
      Buffer.from(canary).toString('base64').slice(4, 28),
      Buffer.from(canary).toString('hex'),
    ];
    const leaks = (text: string): string[] => forms.filter((form) => text.includes(form));

    const { request } = await fleet.placed();
    const account = request.account;
    await fleet.setPassword(account, canary);
    await fleet.setPassword(account, canary);
    await fleet.grant(request);
    await fleet.grantRefusal({ ...request, token: 'x' });
    await fleet.refusal('credentials.set', {
      account,
      sealed: await fleet.sealed(fleet.anAccount(), canary),
    });
    await fleet.refusal('credentials.set', { account, sealed: await fleet.sealedText(`{"${canary}`) });
    await fleet.refusal('credentials.set', { account, sealed: await fleet.sealedText(`"${canary}"`) });
    // A row that does not open: its error must not tell what the others hold.
    await fleet.sql(`UPDATE secrets.credentials SET ciphertext = ciphertext || '\\x00' WHERE account = $1`, [
      account,
    ]);
    await expect(fleet.grantRefusal(request)).resolves.toMatchObject({ code: 'unavailable' });

    expect(fleet.logged).toContain('request refused');
    expect(leaks(fleet.logged)).toEqual([]);

    const tables = await fleet.sql<{ name: string }>(
      `SELECT quote_ident(table_schema) || '.' || quote_ident(table_name) AS name FROM information_schema.tables
        WHERE table_schema NOT IN ('pg_catalog', 'information_schema')`,
    );
    expect(tables.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['secrets.credentials', 'secrets.grants', 'secrets.outbox']),
    );
    for (const { name } of tables) {
      const rows = await fleet.sql<{ row: string }>(`SELECT t::text AS row FROM ${name} t`);
      expect({ name, leaks: leaks(rows.map(({ row }) => row).join('\n')) }).toEqual({ name, leaks: [] });
    }

    const manager = await fleet.messaging.manager();
    await waitFor(
      async () => (await fleet.sql('SELECT FROM secrets.outbox WHERE published_at IS NULL')).length === 0,
    );
    const { state } = await manager.streams.info(streams.events.name);
    expect(state.messages).toBeGreaterThan(0);
    for (let seq = state.first_seq; seq <= state.last_seq; seq += 1) {
      const message = await manager.streams.getMessage(streams.events.name, { seq });
      const headers = message?.header.keys().map((key) => message.header.get(key)) ?? [];
      expect(leaks(`${headers.join('\n')}\n${message?.string() ?? ''}`)).toEqual([]);
    }

    const folder = dirname(fleet.config.masterKeyPath);
    for (const file of await readdir(folder))
      expect(leaks(await readFile(join(folder, file), 'latin1'))).toEqual([]);
  });
});

describe('the health of the service', () => {
  it('is ok when the database answers, and says how much waits to be published', async () => {
    const fleet = await SecretsFixture.start();
    try {
      await expect(fleet.send('fleet.v1.internal.secrets.health', {})).resolves.toMatchObject({
        ok: true,
        result: { status: 'ok', backlog: 0 },
      });
    } finally {
      await fleet.stop();
    }
  });
});
