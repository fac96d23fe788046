import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { rm } from 'node:fs/promises';
import { subjects, type ApiResponse, type LogDamage } from '#libs/contracts';
import { startPostgres, waitFor, type TestPostgres } from '#libs/testing';
import type { RunningAudit } from '../audit.process.js';
import { AuditFixture } from '../testing/audit.fixture.js';
import { checkLog } from '../testing/log.check.js';

const records = 600;

describe('a running service and its log', () => {
  let postgres: TestPostgres;
  let fixture: AuditFixture;
  let audit: RunningAudit;

  beforeAll(async () => {
    postgres = await startPostgres();
  });
  afterAll(async () => {
    await postgres.stop();
  });
  beforeEach(async () => {
    fixture = await AuditFixture.create(await postgres.createDatabase(), {
      checkpointMs: 100,
      ...{ selfCheckRoundMs: 1000, selfCheckShareMax: 1 },
    });
    audit = await fixture.start();
    await fixture.publish(...Array.from({ length: records }, () => fixture.event()));
    await covered(records);
  });
  afterEach(async () => {
    await fixture.stop();
  });

  const state = async (): Promise<ApiResponse<'log.checkpoint'>> =>
    await fixture.messaging.call('log.checkpoint', {});
  const covered = async (size: number) =>
    await waitFor(async () => ((await state()).checkpoint?.size ?? 0) >= size, {
      what: `a checkpoint of ${size} records`,
    });
  /** The first damage of the log; what comes behind it may be found before it. */
  const damage = async (what: LogDamage['what'], position: number) =>
    await waitFor(
      async () => {
        const { damage: found } = await state();
        return found?.what === what && found.position === position ? found : null;
      },
      { what: `that ${what} is found at ${position}`, timeoutMs: 30_000 },
    );
  const mended = async () =>
    await waitFor(async () => (await state()).damage === null, {
      ...{ what: 'the log to be whole', timeoutMs: 30_000 },
    });
  const told = async (type: string) =>
    await waitFor(
      async () => {
        const rows = await fixture.query<{ data: LogDamage }>(
          'SELECT data FROM audit.events WHERE type = $1 ORDER BY position',
          [`tradefleet.audit.${type}`],
        );
        return rows.length === 0 ? null : rows.map(({ data }) => data);
      },
      { what: `the event ${type}` },
    );
  const health = async () => {
    const client = await fixture.client();
    try {
      const reply = await client.request(subjects.internal('audit', 'health'), '{}', { timeout: 10_000 });
      return reply.json<{ result: { status: string; damage: LogDamage | null } }>().result;
    } finally {
      await client.close();
    }
  };
  /** Computes it all again, at a moment when nothing is being added. */
  const whole = async () =>
    await waitFor(async () => await checkLog((sql) => fixture.query(sql)), { what: 'a log without a fault' });
  const rounds = async () => {
    const [row] = await fixture.query<{ rounds: string }>('SELECT rounds FROM audit_work.self_check');
    return Number(row?.rounds ?? 0);
  };

  it('are at one: round after round finds nothing', async () => {
    const before = await rounds();
    await waitFor(async () => (await rounds()) >= before + 2, { what: 'two rounds', timeoutMs: 30_000 });
    expect(await health()).toMatchObject({ status: 'ok', damage: null });
    expect(await fixture.query('SELECT * FROM audit_work.damage')).toEqual([]);
  });

  it('notices a record that was changed, goes on signing, and notices that it was put right', async () => {
    await fixture.query(`UPDATE audit.events SET actor = 'host:forged' WHERE position = 300`);
    expect(await damage('row-changed', 300)).toMatchObject({ records: 1 });
    expect(await health()).toMatchObject({ status: 'degraded', damage: { position: 300 } });
    expect(await told('log-damaged')).toMatchObject([{ what: 'row-changed', position: 300 }]);
    await covered((await state()).size);
    expect((await state()).diverged).toBeNull();
    await fixture.query(`UPDATE audit.events SET actor = 'host:spec' WHERE position = 300`);
    await mended();
    expect(await told('log-mended')).toMatchObject([{ what: 'row-changed', position: 300 }]);
    expect(await health()).toMatchObject({ status: 'ok' });
  });

  it('notices records that are gone, once, and goes on after a restart where it was', async () => {
    await fixture.query('DELETE FROM audit.events WHERE position BETWEEN 250 AND 260');
    expect(await damage('row-missing', 250)).toMatchObject({ records: 6 });
    await waitFor(async () => (await told('log-damaged')).length === 2, {
      what: 'both stretches to be told',
    });
    await audit.stop();
    const [place] = await fixture.query<{ stretch: string }>('SELECT stretch FROM audit_work.self_check');
    expect(Number(place?.stretch)).toBeLessThan(3);
    const before = await rounds();
    audit = await fixture.start();
    expect((await state()).damage).toMatchObject({ what: 'row-missing', position: 250 });
    await waitFor(async () => (await rounds()) >= before + 1, { what: 'a round', timeoutMs: 30_000 });
    expect(await told('log-damaged')).toHaveLength(2);
  });

  it('makes lost tiles again while it runs', async () => {
    await fixture.query('DELETE FROM audit.tiles WHERE level = 0 AND index = 1');
    expect(await told('tiles-rebuilt')).toEqual([{ tiles: 1, level: 0, index: 1 }]);
    await mended();
    await whole();
  });

  it('notices a changed tile; once the owner has taken it away it makes it again', async () => {
    await fixture.query(
      `UPDATE audit.tiles SET hashes = sha256('x') || substr(hashes, 33) WHERE level = 0 AND index = 0`,
    );
    expect(await damage('tile-changed', 0)).toMatchObject({ records: 256 });
    await fixture.query('DELETE FROM audit.tiles WHERE level = 0 AND index = 0');
    await mended();
    await whole();
  });

  it('makes all tiles again at the start, and records on; also without the witness', async () => {
    await audit.stop();
    await fixture.query('TRUNCATE audit.tiles');
    await rm(fixture.config.witnessDir, { recursive: true });
    audit = await fixture.start();
    expect(await told('tiles-rebuilt')).toEqual([{ tiles: 2, level: 0, index: 0 }]);
    await fixture.publish(fixture.event());
    await covered(records + 2);
    expect((await state()).diverged).toBeNull();
    await whole();
  });

  it('writes no tiles that are not those that were signed', async () => {
    await audit.stop();
    await fixture.query('TRUNCATE audit.tiles');
    await fixture.query(`UPDATE audit.events SET leaf_hash = sha256('x') WHERE position = 100`);
    await rm(fixture.config.witnessDir, { recursive: true });
    audit = await fixture.start();
    expect(await fixture.query('SELECT 1 FROM audit.tiles')).toEqual([]);
    await damage('tile-missing', 0);
    expect(await fixture.query('SELECT 1 FROM audit.tiles')).toEqual([]);
  });
});
