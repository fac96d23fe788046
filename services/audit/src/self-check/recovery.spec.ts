import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exportLog, readEvidence, readExport, verifyExport } from '#libs/evidence';
import { provision } from '#libs/messaging';
import { startPostgres, uniqueName, waitFor, withClient, type TestPostgres } from '#libs/testing';
import type { AuditConfig } from '../audit.config.js';
import type { RunningAudit } from '../audit.process.js';
import { AuditFixture, impatientConsumer } from '../testing/audit.fixture.js';

/** What docs/AUDIT-RECOVERY.md tells to do, done. */
describe('an audit log that has lost something it cannot make again', () => {
  let postgres: TestPostgres;
  let fixture: AuditFixture;
  let audit: RunningAudit;

  beforeAll(async () => {
    postgres = await startPostgres();
  });
  afterAll(async () => {
    await postgres.stop();
  });

  afterEach(async () => {
    await fixture.stop();
  });

  async function begin(): Promise<void> {
    fixture = await AuditFixture.create(await postgres.createDatabase(), { checkpointMs: 100 });
    audit = await fixture.start();
  }
  const state = async () => await fixture.messaging.call('log.checkpoint', {});
  async function record(count: number): Promise<string[]> {
    const events = Array.from({ length: count }, () => fixture.event());
    const { size } = await state();
    await fixture.publish(...events);
    await covered(size + count);
    return events.map(({ id }) => id);
  }
  const covered = async (size: number) =>
    await waitFor(async () => ((await state()).checkpoint?.size ?? 0) >= size, {
      what: `a checkpoint of ${size} records`,
    });
  async function exported(): Promise<string> {
    const pieces: string[] = [];
    for await (const { text } of exportLog(fixture.messaging, { exportedAt: new Date() })) pieces.push(text);
    const path = join(fixture.folder, uniqueName('export'));
    await writeFile(path, pieces.join(''));
    return path;
  }
  const verdictOf = async (path: string) =>
    await verifyExport({
      open: () => readExport(path),
      evidence: async (origin) => await readEvidence(fixture.config.witnessDir, origin),
      key: null,
    });

  it('restored from an older backup: goes on under a new origin, takes what the stream still has, proves both', async () => {
    await begin();
    await record(20);
    await audit.stop();
    const backup = new URL(fixture.ownerUrl);
    backup.pathname = `/${uniqueName('backup').replaceAll('-', '_')}`;
    await withClient(postgres.url, async (client) => {
      const from = new URL(fixture.ownerUrl).pathname.slice(1);
      await client.query(`CREATE DATABASE ${backup.pathname.slice(1)} TEMPLATE ${from}`);
    });
    audit = await fixture.start();
    const lost = await record(15);
    const before = await exported();
    const { size: sizeBefore } = await verdictOf(before);
    await audit.stop();

    // The older one is brought back, first without a thought.
    const restored = settingsOf(fixture.config, backup.pathname);
    audit = await fixture.start(restored);
    const diverged = await waitFor(async () => (await state()).diverged, { what: 'the divergence' });
    expect(diverged).toMatchObject({ what: 'shorter' });
    await audit.stop();

    // Then as it is written: a new origin, and the stream from its beginning.
    const manager = await fixture.messaging.manager();
    await manager.consumers.delete(impatientConsumer.stream, impatientConsumer.durable);
    await provision(fixture.messaging, { streams: [], consumers: [impatientConsumer] });
    audit = await fixture.start({ ...restored, logOrigin: 'tradefleet/audit-2' });
    const ids = async () =>
      await withClient(backup.toString(), async (client) => {
        const { rows } = await client.query<{ id: string }>('SELECT id FROM audit.events');
        return new Set(rows.map(({ id }) => id));
      });
    await waitFor(
      async () => {
        const there = await ids();
        return lost.every((id) => there.has(id));
      },
      { what: 'the events since the backup', timeoutMs: 20_000 },
    );
    await covered(35);
    const after = await state();
    expect(after).toMatchObject({ origin: 'tradefleet/audit-2', diverged: null, damage: null });
    expect(await verdictOf(await exported())).toMatchObject({ isAsSeen: true, against: 'leaves' });
    // What the log was before is still proved by the old witness.
    expect(await verdictOf(before)).toMatchObject({ isAsSeen: true, size: sizeBefore, finding: null });
    await audit.stop();
    await withClient(postgres.url, async (client) => {
      await client.query(`DROP DATABASE ${backup.pathname.slice(1)} WITH (FORCE)`);
    });
  });

  it('without its key: goes on under a new origin, whose key is another', async () => {
    await begin();
    await record(5);
    const { key: old } = await state();
    await audit.stop();
    await rm(fixture.config.logKeyPath);
    audit = await fixture.start();
    expect(await waitFor(async () => (await state()).diverged, { what: 'the divergence' })).toMatchObject({
      what: 'witness-damaged',
    });
    await audit.stop();
    audit = await fixture.start({ logOrigin: 'tradefleet/audit-2' });
    await record(5);
    const now = await state();
    expect(now).toMatchObject({ origin: 'tradefleet/audit-2', diverged: null });
    expect(now.key.x).not.toBe(old.x);
    expect(await verdictOf(await exported())).toMatchObject({ isAsSeen: true, against: 'leaves' });
  });

  it('without its master key: shows everybody as erased once the keys of persons are taken away', async () => {
    await begin();
    await fixture.publish(fixture.event({ actor: 'user:ada' }));
    await covered(1);
    await audit.stop();
    await rm(fixture.config.auditMasterKeyPath);
    audit = await fixture.start();
    const actors = async () =>
      (await fixture.messaging.call('events.query', { source: '/scheduler' })).events.map(
        ({ actor }) => actor,
      );
    expect(await actors()).toEqual([expect.stringMatching(/^unreadable:/)]);
    await fixture.query('DELETE FROM audit_work.subjects');
    expect(await actors()).toEqual([expect.stringMatching(/^erased:/)]);
    await fixture.publish(fixture.event({ actor: 'user:ada' }));
    await waitFor(async () => (await fixture.recordedIds()).length === 2, { what: 'the event of her now' });
    expect((await fixture.messaging.call('events.query', { actor: 'user:ada' })).events).toHaveLength(1);
  });

  it('without its witness: begins one anew with what the database has signed notes of', async () => {
    await begin();
    await record(5);
    const { checkpoint } = await state();
    await audit.stop();
    await rm(fixture.config.witnessDir, { recursive: true });
    audit = await fixture.start();
    await record(5);
    expect((await state()).diverged).toBeNull();
    const verdict = await verdictOf(await exported());
    expect(verdict).toMatchObject({ isAsSeen: true, against: 'leaves' });
    expect(verdict.size).toBeGreaterThan(checkpoint?.size ?? Infinity);
  });
});

/** The same service with another database. */
function settingsOf(config: AuditConfig, path: string): Partial<AuditConfig> {
  const of = (url: string): string => Object.assign(new URL(url), { pathname: path }).toString();
  return {
    databaseUrl: of(config.databaseUrl),
    readerDatabaseUrl: of(config.readerDatabaseUrl),
    keeperDatabaseUrl: undefined,
    databaseOwnerUrl: undefined,
  };
}
