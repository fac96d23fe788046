import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { rm } from 'node:fs/promises';
import type { LogRestored } from '#libs/contracts';
import { startPostgres, waitFor, type TestPostgres } from '#libs/testing';
import type { RunningAudit } from '../audit.process.js';
import { AuditFixture } from '../testing/audit.fixture.js';
import { checkLog } from '../testing/log.check.js';

const records = 300;

describe('log.restore', () => {
  let postgres: TestPostgres;
  let fixture: AuditFixture;
  let audit: RunningAudit;
  let lines: string[];

  beforeAll(async () => {
    postgres = await startPostgres();
    fixture = await AuditFixture.create(await postgres.createDatabase(), { checkpointMs: 100 });
    audit = await fixture.start();
    await fixture.publish(
      ...Array.from({ length: records - 1 }, () => fixture.event({ actor: 'user:ada' })),
      fixture.event({ time: new Date(Date.now() - 100 * 86_400_000).toISOString() }),
    );
    await waitFor(
      async () => ((await fixture.messaging.call('log.checkpoint', {})).checkpoint?.size ?? 0) >= records,
      { what: 'a checkpoint of all' },
    );
    const { entries } = await fixture.messaging.call('log.records', { limit: records });
    lines = entries.map(({ line }) => line ?? '');
  });
  afterAll(async () => {
    await fixture.stop();
    await postgres.stop();
  });
  beforeEach(async () => {
    await fixture.query('DELETE FROM audit_work.damage');
  });

  const at = (position: number, line = lines[position] ?? '') => ({ position, line });
  const restore = async (...given: { position: number; line: string }[]): Promise<LogRestored> =>
    await fixture.messaging.call('log.restore', { records: given });
  const whole = async () =>
    await waitFor(async () => await checkLog((sql) => fixture.query(sql)), { what: 'a log without a fault' });
  const rowsAt = async (position: number) =>
    await fixture.query('SELECT 1 FROM audit.events WHERE position = $1', [position]);

  it('puts lost records back where they were, sealed as they were', async () => {
    await fixture.query('DELETE FROM audit.events WHERE position BETWEEN 10 AND 12 OR position = 290');
    expect(await restore(...[9, 10, 11, 12, 13, 290].map((position) => at(position)))).toEqual({
      ...{ restored: 4, present: 2, archived: 0 },
    });
    await whole();
    expect(await restore(at(10))).toEqual({ restored: 0, present: 1, archived: 0 });
  });

  it('makes a month that is gone with its records', async () => {
    const [row] = await fixture.query<{ name: string; position: string }>(
      `SELECT tableoid::regclass::text AS name, position FROM audit.events WHERE time < now() - interval '90 days'`,
    );
    await fixture.query(`DROP TABLE ${row?.name ?? ''}`);
    expect(await restore(at(Number(row?.position)))).toMatchObject({ restored: 1 });
    await whole();
  });

  it.each([
    ['another record', () => at(20, lines[21])],
    ['what is no record', () => at(20, '{"v":1}')],
    ['a record that was changed', () => at(20, lines[20]?.replace('host', 'h0st'))],
    ['a position that the log has not', () => at(9999, lines[20])],
  ])('takes nothing of a request with %s', async (_, record) => {
    await fixture.query('DELETE FROM audit.events WHERE position IN (19, 20)');
    await expect(restore(at(19), record())).rejects.toMatchObject({ code: 'invalid_request' });
    expect(await rowsAt(19)).toEqual([]);
    expect(await restore(at(19), at(20))).toMatchObject({ restored: 2 });
  });

  it('leaves a changed row to the owner, then puts back what stood there', async () => {
    await fixture.query(`UPDATE audit.events SET actor = 'x', leaf_hash = sha256('x') WHERE position = 30`);
    await expect(restore(at(30))).rejects.toMatchObject({ code: 'invalid_transition' });
    await fixture.query('DELETE FROM audit.events WHERE position = 30');
    expect(await restore(at(30))).toMatchObject({ restored: 1 });
    await whole();
  });

  it('goes by the tree where the witness is lost', async () => {
    await audit.stop();
    await rm(fixture.config.witnessDir, { recursive: true });
    await fixture.query('DELETE FROM audit.events WHERE position = 40');
    audit = await fixture.start({ checkpointMs: 3_600_000 });
    await expect(restore(at(40, lines[41]))).rejects.toMatchObject({ code: 'invalid_request' });
    expect(await restore(at(40))).toMatchObject({ restored: 1 });
    await whole();
  });
});
