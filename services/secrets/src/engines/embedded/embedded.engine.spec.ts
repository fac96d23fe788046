import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { SystemClock } from '#libs/clock';
import { createDataSource, runMigrations, TransactionRunner } from '#libs/persistence';
import { aPublicKey, startPostgres, type TestPostgres, uniqueName } from '#libs/testing';
import type { DataSource } from 'typeorm';
import { databaseOptions } from '../../database/database.options.js';
import { SecretsConfig } from '../../secrets.config.js';
import type { Storing } from '../engine.js';
import { CredentialRepository, versions_kept_max } from './credential.repository.js';
import { EmbeddedEngine } from './embedded.engine.js';
import type { MasterKeys } from '#libs/config';

describe('the embedded engine', () => {
  let postgres: TestPostgres;
  let dataSource: DataSource;
  let repository: CredentialRepository;

  beforeAll(async () => {
    postgres = await startPostgres();
    const config = SecretsConfig.parse({
      ...{ natsUrl: ['nats://127.0.0.1:1'], databaseUrl: await postgres.createDatabase() },
      ...{ masterKeyPath: '-', sealingKeyPath: '-', signingKeyPath: '-' },
      schedulerPublicKey: { kty: 'OKP', crv: 'Ed25519', x: 'A'.repeat(43) },
      auditPublicKey: aPublicKey,
    });
    await runMigrations(databaseOptions(config));
    dataSource = await createDataSource(databaseOptions(config)).initialize();
    repository = new CredentialRepository(dataSource, new TransactionRunner(dataSource, new SystemClock()));
  });
  afterAll(async () => {
    await dataSource.destroy();
    await postgres.stop();
  });

  const masters = (...ids: string[]): MasterKeys => ({
    current: ids[0] ?? 'k1',
    keys: new Map(ids.map((id) => [id, randomBytes(32)])),
  });
  const engineWith = (keys = masters('k1')) => new EmbeddedEngine(repository, keys);

  /** What is recorded with each version. */
  const storing = (recorded: number[] = [], by = 'user:ada'): Storing => ({
    by,
    record: async (_transaction, version) => {
      recorded.push(version);
      await Promise.resolve();
    },
  });
  const rows = async (account: string) =>
    await dataSource.query<{ version: number; key_id: string; ciphertext: Buffer; wrapped_key: Buffer }[]>(
      'SELECT * FROM secrets.credentials WHERE account = $1 ORDER BY version',
      [account],
    );

  it('gives back what was set, the newest version of it, and who set it', async () => {
    const engine = engineWith();
    const account = uniqueName('account');
    await expect(engine.read(account)).resolves.toBeNull();
    await expect(engine.status(account)).resolves.toBeNull();
    await engine.set(account, 'first', storing());
    const before_ms = Date.now();
    const second = await engine.set(account, 'Zweites Paßwort ✓', storing([], 'user:bob'));
    expect(second).toMatchObject({ version: 2, updatedBy: 'user:bob' });
    expect(Math.abs(Date.parse(second.updatedAt) - before_ms)).toBeLessThan(60_000);
    await expect(engine.status(account)).resolves.toEqual(second);
    await expect(engine.read(account)).resolves.toEqual({ password: 'Zweites Paßwort ✓', version: 2 });
  });

  it('stores and records nothing for the password that is there already', async () => {
    const engine = engineWith();
    const account = uniqueName('account');
    const recorded: number[] = [];
    const first = await engine.set(account, 'same', storing(recorded));
    await expect(engine.set(account, 'same', storing(recorded, 'user:bob'))).resolves.toEqual(first);
    expect(recorded).toEqual([1]);
    await engine.set(account, 'other', storing(recorded));
    await engine.set(account, 'same', storing(recorded));
    expect(recorded).toEqual([1, 2, 3]);
  });

  it('makes one version of many equal passwords that come at once', async () => {
    const engine = engineWith();
    const account = uniqueName('account');
    const recorded: number[] = [];
    const answers = await Promise.all(
      Array.from({ length: 8 }, async () => await engine.set(account, 'same', storing(recorded))),
    );
    expect(new Set(answers.map(({ version }) => version))).toEqual(new Set([1]));
    expect(recorded).toEqual([1]);
  });

  it('numbers passwords that come at once one after the other', async () => {
    const engine = engineWith();
    const account = uniqueName('account');
    const recorded: number[] = [];
    await Promise.all(
      ['a', 'b', 'c', 'd'].map(async (password) => await engine.set(account, password, storing(recorded))),
    );
    expect(recorded).toEqual([1, 2, 3, 4]);
  });

  it('keeps the password somebody chose, and one made up once, whoever asks for one to be made up', async () => {
    const engine = engineWith();
    const account = uniqueName('account');
    const answers = await Promise.all(
      ['one', 'two', 'three'].map(async (password) => await engine.setIfAbsent(account, password, storing())),
    );
    expect(new Set(answers.map(({ password }) => password)).size).toBe(1);
    expect(answers[0]?.version).toBe(1);
    await engine.set(account, 'chosen', storing());
    await expect(engine.setIfAbsent(account, 'made up', storing())).resolves.toEqual({
      password: 'chosen',
      version: 2,
    });
  });

  it('stores nothing when it cannot be recorded', async () => {
    const engine = engineWith();
    const account = uniqueName('account');
    const failing: Storing = { by: 'user:ada', record: () => Promise.reject(new Error('no room')) };
    await expect(engine.set(account, 'lost', failing)).rejects.toThrow('no room');
    await expect(engine.read(account)).resolves.toBeNull();
  });

  it('keeps a bounded number of versions, the newest', async () => {
    const engine = engineWith();
    const account = uniqueName('account');
    const other = uniqueName('account');
    await engine.set(other, 'untouched', storing());
    for (let n = 1; n <= versions_kept_max + 3; n += 1) await engine.set(account, `p${n}`, storing());
    expect((await rows(account)).map(({ version }) => version)).toEqual([4, 5, 6, 7, 8]);
    await expect(engine.read(account)).resolves.toEqual({ password: 'p8', version: 8 });
    await expect(engine.read(other)).resolves.toEqual({ password: 'untouched', version: 1 });
  });

  it('writes no password, whole or in part, into the table', async () => {
    const engine = engineWith();
    const account = uniqueName('account');
    const password = `canary-${randomBytes(16).toString('hex')}`;
    await engine.set(account, password, storing());
    const [row] = await rows(account);
    for (const bytes of [row?.ciphertext, row?.wrapped_key]) {
      expect(bytes?.includes(password.slice(0, 12))).toBe(false);
      expect(bytes?.includes(Buffer.from(password).toString('base64').slice(0, 12))).toBe(false);
    }
    const dump = await dataSource.query<{ text: string }[]>(
      'SELECT c::text AS text FROM secrets.credentials c WHERE account = $1',
      [account],
    );
    expect(dump[0]?.text).not.toContain(Buffer.from(password).toString('hex'));
  });

  it.each([
    ['another account', (to: string) => ({ account: to, version: 1 })],
    ['another version', (_: string, from: string) => ({ account: from, version: 9 })],
  ])('does not open a row that was moved to %s', async (_, target) => {
    const engine = engineWith();
    const [from, to] = [uniqueName('account'), uniqueName('account')];
    await engine.set(from, 'of the first', storing());
    const { account, version } = target(to, from);
    await dataSource.query('UPDATE secrets.credentials SET account = $1, version = $2 WHERE account = $3', [
      account,
      version,
      from,
    ]);
    await expect(engine.read(account)).rejects.toMatchObject({ code: 'unavailable' });
    await expect(engine.read(account)).rejects.not.toThrow(/of the first/);
  });

  it('reads old rows after a new master key became current, and writes under the new one', async () => {
    const old = masters('k1');
    const account = uniqueName('account');
    await engineWith(old).set(account, 'old', storing());
    const rotated: MasterKeys = { current: 'k2', keys: new Map([...old.keys, ['k2', randomBytes(32)]]) };
    const engine = engineWith(rotated);
    await expect(engine.read(account)).resolves.toEqual({ password: 'old', version: 1 });
    await engine.set(account, 'new', storing());
    expect((await rows(account)).map(({ key_id }) => key_id)).toEqual(['k1', 'k2']);
    const withoutOld: MasterKeys = { current: 'k2', keys: new Map([...rotated.keys].slice(1)) };
    await expect(engineWith(withoutOld).read(account)).resolves.toEqual({ password: 'new', version: 2 });
  });

  it('says which master key is missing, and takes a new password then', async () => {
    const account = uniqueName('account');
    await engineWith(masters('k1')).set(account, 'lost with its key', storing());
    const engine = engineWith(masters('k2'));
    await expect(engine.read(account)).rejects.toMatchObject({
      code: 'unavailable',
      detail: expect.stringContaining('key k1'),
    });
    await expect(engine.setIfAbsent(account, 'made up', storing())).rejects.toMatchObject({
      code: 'unavailable',
    });
    await expect(engine.set(account, 'set anew', storing())).resolves.toMatchObject({ version: 2 });
    await expect(engine.read(account)).resolves.toEqual({ password: 'set anew', version: 2 });
  });
});
